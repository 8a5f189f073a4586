"""Which process is meant, and whether it is surely dead: never by pid and host name alone.

A pid comes back with another process behind it, and means something else in another container.
So a process is named by its boot, its pid namespace, its pid and its start time together.
"""

from __future__ import annotations

import enum
import os
import platform
from collections.abc import Hashable
from pathlib import Path

import msgspec

from penstock.clock import Clock

__all__ = ["Fate", "Process", "hold_as"]


class Fate(enum.Enum):
    """What can be known from here about another process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"  # in another pid namespace: another container


class Process(msgspec.Struct, frozen=True):
    """One process of one boot of one machine."""

    boot_id: str
    pid: int
    started: int  # clock ticks after boot; 0 where the system does not say
    space: int  # inode of the pid namespace; 0 where there is none
    host: str

    @classmethod
    def this(cls, clock: Clock) -> Process:
        """The calling process."""
        pid = os.getpid()
        return cls(clock.boot_id(), pid, _started(pid) or 0, _space(), platform.node())

    def fate(self, other: Process, holder: Hashable = None) -> Fate:
        """What this process can know about ``other``, or about what holds things in it.

        A process that began anew (by execv) keeps its id and start time. So a holder's name that
        is of this process, but was not given to :func:`hold_as` in this life, is of a former one.
        """
        if other.boot_id != self.boot_id:  # what both can see is on one machine: it was restarted
            return Fate.DEAD
        if other.space != self.space:
            return Fate.UNKNOWN
        if other.pid == self.pid:
            of_this_life = holder is None or holder in _HELD
            return Fate.ALIVE if other.started == self.started and of_this_life else Fate.DEAD
        return Fate.ALIVE if _runs(other) else Fate.DEAD


_HELD: set[Hashable] = set()  # holders' names of this life; it goes with the program's memory


def hold_as(holder: Hashable) -> None:
    """Note that this process holds things under that name from now on."""
    _HELD.add(holder)


def _runs(process: Process) -> bool:
    if process.started:
        return _started(process.pid) == process.started
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, so it is there
        return True
    return True


def _started(pid: int) -> int | None:
    """When it started, in ticks after boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # no such process, or no /proc
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold anything
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def _space() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # no namespaces here
        return 0
