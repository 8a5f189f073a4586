"""Commands that go to a Redis server in one write, and what is made of their replies.

An exchange's ``run`` calls the batch and gives back a :class:`Pending`, or a list or tuple with
some in it; once the replies are there, each stands for what it was waiting for. So several
exchanges that are run together cost one round trip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["Batch", "Pending", "Script"]

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


class Pending:
    """What a reply will be made into."""

    __slots__ = ("_made_by", "_place")

    def __init__(self, place: int, made_by: tuple[Callable[[Any], Any], ...] = ()) -> None:
        self._place = place
        self._made_by = made_by

    def then(self, function: Callable[[Any], Any]) -> Pending:
        """The same with the reply, or what was made of it, passed through a function."""
        return Pending(self._place, (*self._made_by, function))

    def resolve(self, replies: Sequence[Any]) -> Any:
        """The value, now that the replies are there."""
        value = replies[self._place]
        for function in self._made_by:
            value = function(value)
        return value


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


def resolved(value: Any, replies: Sequence[Any]) -> Any:
    """The value that ``run`` gave, with each Pending replaced by what it stands for."""
    if isinstance(value, Pending):
        return value.resolve(replies)
    if isinstance(value, list):
        return [resolved(part, replies) for part in value]
    if isinstance(value, tuple):
        return tuple(resolved(part, replies) for part in value)
    return value
