"""Commands that go to a Redis server in one write; see :mod:`.pending` for their replies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from penstock.engines.pending import Pending

__all__ = ["Batch", "Pending", "Script", "Word"]

Word = str | bytes | int | float


class Script:
    """A Lua script that the server runs as one atomic step."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode()).hexdigest()  # noqa: S324 - the server's name for it

    @classmethod
    @cache
    def of(cls, *names: str) -> Script:
        """The script in these files of penstock, one after the other."""
        return cls("\n".join((files("penstock") / name).read_text("utf-8") for name in names))

    def __repr__(self) -> str:
        return f"Script({self.sha[:8]})"


class Batch:
    """Commands in order. ``scripts`` names those that a server may not know yet, by place.

    What is refused ``aside`` refuses nothing else.
    """

    def __init__(self) -> None:
        self.commands: list[tuple[Word, ...]] = []
        self.scripts: dict[int, Script] = {}
        self.asides: set[int] = set()

    def call(self, *words: Word) -> Pending:
        """One command."""
        self.commands.append(words)
        return Pending(len(self.commands) - 1)

    def aside(self, *words: Word) -> Pending:
        """One command whose refusal is no reason to say that the others were not done."""
        self.asides.add(len(self.commands))
        return self.call(*words)

    def script(self, script: Script, *arguments: Word) -> Pending:
        """One script; keys and arguments alike are in its ARGV."""
        self.scripts[len(self.commands)] = script
        return self.call("EVALSHA", script.sha, 0, *arguments)

    def words(self, known: set[str]) -> Sequence[tuple[Word, ...]]:
        """The commands, with the text of scripts that are not ``known`` yet, which they are then.

        So on a new connection, as after a restart of the server, each runs at its place: one that
        the server did not know would run behind those that follow it.
        """
        fresh = {}
        for place, script in self.scripts.items():
            if script.sha not in known:
                known.add(script.sha)
                fresh[place] = self.in_full(place)
        if not fresh:
            return self.commands
        return [fresh.get(place, words) for place, words in enumerate(self.commands)]

    def refusal(self, replies: Sequence[object]) -> Exception | None:
        """The first reply by which the server refused something that matters."""
        for place, reply in enumerate(replies):
            if isinstance(reply, Exception) and place not in self.asides:
                return reply
        return None

    def in_full(self, place: int) -> tuple[Word, ...]:
        """The command at that place, with the script's text."""
        script = self.scripts[place]
        return ("EVAL", script.source, *self.commands[place][2:])
