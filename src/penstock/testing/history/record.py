"""The history file: one event, one line, one write.

Every event has ``at`` (monotonic nanoseconds, one clock for the whole machine), ``pid`` and ``op``:

    setup    lease, custody ("lease" or "connection"), crash_limit, and atomic: result and
             acknowledgement are one step
    send     phase (invoke, ok, fail, info), id, and with invoke: due (wall time), poison, lane, seq
    up       an executor that is ready: zygote, supervisor
    start    id, run, retry, attempt, wall: the first thing that a task does
    end      id, run: the last thing that a task does
    result   id, run, good, final: a client read the result; good says whether it is the right one
    state    id, state: a client looked
    dead     id, reason: it is among the dead letters
    fault    kind, pids, key and phase (at, begin, end): what was done, to whom
    sample   role, rss (kB), fds, threads
    finding  check, ok, text: what another instrument found (integrity, leftovers, secrets)

This file needs the standard library only, so that programs of other libraries can load it by path.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Event", "Recorder", "read"]

Event = dict[str, Any]

_PAGE = 4096  # bytes; an event is shorter
_FIRST = b'{"at": '  # of each event

_OPS = (
    "setup", "send", "up", "start", "end", "result", "state", "dead", "fault", "sample", "finding",
)  # fmt: skip


class Recorder:
    """Appends events, each with one ``write`` to a file that was opened for appending.

    So the lines of many processes stay whole, and survive the SIGKILL of their writer: but for one
    that it interrupts between two pages of the file, see `read`. Usable after a fork.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.path = Path(path)
        self._descriptor = os.open(self.path, flags, 0o600)

    def note(self, op: str, **fields: Any) -> None:
        """Write one event; ``at`` may be given for what happened a little earlier."""
        event = {"at": time.monotonic_ns(), "pid": os.getpid(), "op": op, **fields}
        os.write(self._descriptor, json.dumps(event).encode() + b"\n")

    def close(self) -> None:
        """Give up the file."""
        os.close(self._descriptor)

    def __repr__(self) -> str:
        return f"Recorder({str(self.path)!r})"


def read(path: str | os.PathLike[str]) -> Iterator[Event]:
    """The events of a file, as they stand there.

    One that was cut off is left out: the last, or one whose writer was killed at the end of a page
    (the system copies a write page by page, and looks for a SIGKILL between them), so that the next
    writer's begins there. Raises ValueError for a line that is none.
    """
    offset = 0
    with Path(path).open("rb") as lines:
        for number, line in enumerate(lines, 1):
            torn = -offset % _PAGE
            whole = line[torn:] if line.startswith(_FIRST, torn) else line
            if line.endswith(b"\n"):
                yield _event(whole, f"line {number} of {path} is no event")
            offset += len(line)


def _event(line: bytes, complaint: str) -> Event:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{complaint}: {error}"[:300]) from error
    if not isinstance(event, dict) or type(event.get("at")) is not int:
        raise ValueError(f"{complaint}: it has no time")
    if event.get("op") not in _OPS:
        raise ValueError(f"{complaint}: there is no operation {event.get('op')!r:.80}")
    return event
