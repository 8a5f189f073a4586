"""The tasks' own word: a file to which each run adds a line at its start and one at its end.

The queue knows nothing of it, so it can bear witness against the queue. A line is one write to a
file opened for appending: a process that is killed leaves it whole or not at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["JOURNAL", "Entry", "Follower", "noted"]

JOURNAL = "journal.txt"  # in the folder that the worker runs in

Edge = Literal["start", "end"]


class Entry(msgspec.Struct, frozen=True):
    """One line. ``at`` is monotonic nanoseconds, the same clock for all processes."""

    at: int
    pid: int
    step: str
    order: int
    task: str
    parent: str  # the id of the task that sent this one; "-" for the customer
    attempt: int
    edge: Edge

    def line(self) -> bytes:
        """As it stands in the file."""
        return " ".join(map(str, msgspec.structs.astuple(self))).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Entry:
        """From a line of the file."""
        fields = zip(cls.__struct_fields__, line.decode().split(), strict=True)
        return msgspec.convert(dict(fields), cls, strict=False)


@contextmanager
def noted(step: str, order: int, *, task: str, parent: str | None, attempt: int) -> Iterator[None]:
    """Write down when the block starts and, if it gets so far, when it ends."""
    descriptor = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def note(edge: Edge) -> None:
        now = time.monotonic_ns()
        entry = Entry(now, os.getpid(), step, order, task, parent or "-", attempt, edge)
        os.write(descriptor, entry.line())

    try:
        note("start")
        yield
        note("end")
    finally:
        os.close(descriptor)


class Follower:
    """Reads the journal while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self.entries: list[Entry] = []

    def read(self) -> list[Entry]:
        """The entries that came since the last call; they are added to ``entries``, too."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        new = [Entry.read(line) for line in lines]
        self.entries += new
        return new
