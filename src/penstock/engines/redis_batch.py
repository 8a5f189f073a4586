"""Commands that go to a Redis server in one write; see :mod:`.pending` for their replies."""

from __future__ import annotations

import hashlib
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
    """Commands in order. ``scripts`` names those that a server may not know yet, by place."""

    def __init__(self) -> None:
        self.commands: list[tuple[Word, ...]] = []
        self.scripts: dict[int, Script] = {}

    def call(self, *words: Word) -> Pending:
        """One command."""
        self.commands.append(words)
        return Pending(len(self.commands) - 1)

    def script(self, script: Script, *arguments: Word) -> Pending:
        """One script; keys and arguments alike are in its ARGV."""
        self.scripts[len(self.commands)] = script
        return self.call("EVALSHA", script.sha, 0, *arguments)

    def in_full(self, place: int) -> tuple[Word, ...]:
        """The command at that place, with the script's text."""
        script = self.scripts[place]
        return ("EVAL", script.source, *self.commands[place][2:])
