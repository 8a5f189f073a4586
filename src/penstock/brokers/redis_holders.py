"""Who holds leases on a Redis server: processes, of which those on this host can be judged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.brokers.base import WorkerEntry
from penstock.clock import Clock
from penstock.engines.processes import Fate, Process, hold_as
from penstock.message import new_id

__all__ = ["HEARTBEAT", "Holder", "Me"]

HEARTBEAT = 5.0  # seconds between two signs of life
_SILENCE = 30.0  # after so long without one, a holder that cannot be seen is taken for dead


class Holder(msgspec.Struct, frozen=True):
    """One broker object of one process, as the server knows it."""

    id: str
    process: Process
    seen: float  # wall time
    since: float = 0.0
    name: str | None = None
    info: dict[str, Any] = {}

    def fate(self, mine: Process, now: float) -> Fate:
        """Dead is only who surely is: on this host by its process, elsewhere by long silence."""
        there = self.process
        if there.host == mine.host:
            fate = mine.fate(there, self.id)
            if fate is not Fate.UNKNOWN:
                return fate
        return Fate.DEAD if now - self.seen > _SILENCE else Fate.UNKNOWN

    def entry(self, mine: Process, now: float) -> WorkerEntry:
        """As people are shown it."""
        alive = self.fate(mine, now) is not Fate.DEAD
        process = self.process
        return WorkerEntry(self.name or "", process.host, process.pid, self.since, alive, self.info)


class Me:
    """This broker object as a holder; a forked child begins anew."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.process = Process.this(clock)
        self.id = new_id()
        hold_as(self.id)
        self.claims = 0
        self.doubtful: list[int] = []  # numbers of claims whose replies were lost
        self.seen = 0.0  # when it last said that it lives
        self.name: str | None = None
        self.info: Mapping[str, Any] = {}
        self.since = clock.wall()

    @property
    def current(self) -> bool:
        """False in a forked child."""
        return self.process.pid == os.getpid()

    def said(self) -> bytes:
        """What the server keeps of it, seen now."""
        self.seen = self.clock.monotonic()
        holder = Holder(
            self.id, self.process, self.clock.wall(), self.since, self.name, dict(self.info)
        )
        return msgspec.json.encode(holder)

    @property
    def is_silent(self) -> bool:
        """True when it is time for a sign of life."""
        return not self.seen or self.clock.monotonic() - self.seen > HEARTBEAT
