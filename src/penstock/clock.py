"""Time as something that is passed in, so that tests own it and nothing sleeps in them.

Three times are told apart:

- *wall*: Unix time, for ``eta``, ``expires`` and what people read. It may jump.
- *monotonic*: for deadlines within one process.
- *boot*: seconds that only this boot of the machine counts, comparable between processes of one
  machine and still while it sleeps. Leases on embedded engines run on it, together with the
  boot's id: after a restart every lease of an earlier boot is void.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """What penstock asks a clock. All values are float seconds."""

    def wall(self) -> float:
        """Unix time; may jump."""
        ...

    def monotonic(self) -> float:
        """Never goes back; means nothing in another process."""
        ...

    def boot(self) -> float:
        """Never goes back; the same in all processes of this boot."""
        ...

    def boot_id(self) -> str:
        """Names this boot of this machine."""
        ...


@functools.cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:  # not Linux: the time of the boot, to the minute, names it well enough
        return f"boot-{int((time.time() - time.monotonic()) // 60)}"


class SystemClock:
    """The machine's own clocks."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    # CLOCK_MONOTONIC starts with the machine on every system with /proc; it stands still in a
    # suspend, so that waking up expires no lease by itself.
    boot = staticmethod(time.monotonic)
    boot_id = staticmethod(_boot_id)

    def __repr__(self) -> str:
        return "SystemClock()"


class ManualClock:
    """A clock that moves only when told: for tests and the simulation."""

    def __init__(self, wall: float = 1_800_000_000.0, boot: float = 1_000.0) -> None:
        self._wall = wall
        self._boot = boot
        self._id = "boot-1"

    def wall(self) -> float:
        """Unix time as set."""
        return self._wall

    def monotonic(self) -> float:
        """The same as :meth:`boot`."""
        return self._boot

    def boot(self) -> float:
        """Seconds of this boot."""
        return self._boot

    def boot_id(self) -> str:
        """Changes with :meth:`reboot`."""
        return self._id

    def advance(self, seconds: float) -> None:
        """Let time pass on all clocks."""
        self._wall += seconds
        self._boot += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forth or back; the others do not notice."""
        self._wall += seconds

    def reboot(self) -> None:
        """Start a new boot: its clock begins again, under a new id."""
        self._boot = 1_000.0
        self._id = f"boot-{int(self._id.removeprefix('boot-')) + 1}"

    def __repr__(self) -> str:
        return f"ManualClock(wall={self._wall}, boot={self._boot}, id={self._id!r})"


SYSTEM_CLOCK = SystemClock()
