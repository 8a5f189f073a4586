"""Named places where a process can be made to die, to prove that nothing is lost there.

Inert unless the environment variable ``PENSTOCK_CRASH_POINT`` arms one when Python starts:

    PENSTOCK_CRASH_POINT=supervisor.claimed           SIGKILL there, the first time
    PENSTOCK_CRASH_POINT=supervisor.claimed:5         the fifth time
    PENSTOCK_CRASH_POINT=client.publish.done:1:STOP  another signal
    PENSTOCK_CRASH_NOTE=/path     a file made just before, with who and when; where it is there
                                  already nobody dies any more

The first word of a name is the role of the process that dies there; ``play`` says the role of
this one, which is a client until then. The code says ``reach("batch.open")``, and means
``client.batch.open`` or ``supervisor.batch.open``.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

__all__ = ["ARMED", "POINTS", "play", "reach", "reached", "tear"]

# Every point there is, by role; a test keeps the list complete and arms each of them.
_EXCHANGES = ("asked", "done")  # before the engine does it; after it did, before anybody is told
POINTS = (
    *(f"client.publish.{when}" for when in _EXCHANGES),
    "client.batch.open",
    "client.batch.written",
    "client.batch.committed",
    "client.pipeline.torn",
    *(f"supervisor.{what}.{when}" for what in ("lease", "settle", "extend") for when in _EXCHANGES),
    *(f"supervisor.settle+lease.{when}" for when in _EXCHANGES),
    "supervisor.enrolled",
    "supervisor.claimed",
    "supervisor.handed",
    "supervisor.answered",
    "supervisor.settling",
    "supervisor.settled",
    "supervisor.hiring",
    "supervisor.bereaved",
    "supervisor.draining",
    "supervisor.recalled",
    "supervisor.batch.open",
    "supervisor.batch.written",
    "supervisor.batch.committed",
    "supervisor.pipeline.torn",
    "zygote.loaded",
    "zygote.forking",
    "zygote.forked",
    "zygote.reaping",
    "zygote.reaped",
    "executor.born",
    "executor.ready",
    "executor.received",
    "executor.running",
    "executor.ran",
    "executor.reply.torn",
    "executor.replied",
    "executor.leaving",
)


class _Armed:
    """One point that is armed in this process and in those that it forks."""

    def __init__(self, wish: str, note: str | None) -> None:
        self.name, number, sign = (*wish.split(":"), "", "")[:3]
        self.signal = signal.Signals[f"SIG{sign or 'KILL'}"]
        self.left = int(number or 1)
        self.note = note
        self.role = "client"

    def passes(self, name: str) -> bool:
        """Count; True when it is the time to die."""
        if f"{self.role}.{name}" != self.name:
            return False
        self.left -= 1
        return self.left == 0 and self._first()

    def _first(self) -> bool:
        if self.note is None:
            return True
        event = {
            "at": time.monotonic_ns(), "pid": os.getpid(), "op": "fault", "kind": "crash",
            "point": self.name, "pids": [os.getpid()],
        }  # fmt: skip
        try:
            descriptor = os.open(self.note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:  # another process died of it
            return False
        os.write(descriptor, json.dumps(event).encode() + b"\n")
        os.close(descriptor)
        return True

    def die(self) -> None:
        os.kill(os.getpid(), self.signal)


def _armed() -> _Armed | None:
    wish = os.environ.get("PENSTOCK_CRASH_POINT")  # read once: what is off must cost nothing
    return _Armed(wish, os.environ.get("PENSTOCK_CRASH_NOTE")) if wish else None


_point = _armed()
ARMED = _point is not None  # where not even a call that does nothing shall be made


def play(role: str) -> None:
    """Say what this process is: ``client``, ``supervisor``, ``zygote`` or ``executor``."""
    if _point is not None:
        _point.role = role


if _point is None:

    def reach(name: str) -> None:
        """Die here if this point is armed."""

    def reached(command: object, when: str) -> None:
        """As :func:`reach`, before or after what a command with a name does."""

    def tear(name: str, send: Callable[[bytes], object], data: bytes) -> None:
        """Die here in the middle of sending ``data``, if this point is armed."""

else:
    _armed_point = _point

    def reach(name: str) -> None:
        """Die here if this point is armed."""
        if _armed_point.passes(name):
            _armed_point.die()

    def reached(command: object, when: str) -> None:
        """As :func:`reach`, before or after what a command with a name does."""
        reach(f"{getattr(command, 'name', '')}.{when}")

    def tear(name: str, send: Callable[[bytes], object], data: bytes) -> None:
        """Die here in the middle of sending ``data``, if this point is armed."""
        if _armed_point.passes(name):
            send(data[: len(data) // 2])
            _armed_point.die()
