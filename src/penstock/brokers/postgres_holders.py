"""Who holds leases on a PostgreSQL server; processes of this machine can be judged from here."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.brokers import rows
from penstock.brokers.base import WorkerEntry
from penstock.brokers.postgres_statements import SQL
from penstock.clock import Clock
from penstock.engines.pending import Pending
from penstock.engines.postgres_batch import Batch
from penstock.engines.processes import Fate, Process, hold_as

__all__ = ["FORGOTTEN", "HEARTBEAT", "Holder", "Me"]

HEARTBEAT = 5.0  # seconds between two signs of life
FORGOTTEN = 3_600.0  # after so long without one, nothing is known of it any more
_SILENCE = 15.0  # after so long without one, a holder that cannot be seen gives up its name


class Holder(msgspec.Struct, frozen=True):
    """One broker object of one process, as the server knows it."""

    id: int
    process: Process
    name: str | None
    since: float
    info: str
    silence: float  # seconds since it was seen

    @classmethod
    def read(cls, found: list[tuple[Any, ...]]) -> list[Holder]:
        """From what `holders` gives."""
        return [
            cls(number, Process(*process), name, since, info, silence)
            for number, *process, name, since, info, silence in found
        ]

    def fate(self, mine: Process) -> Fate:
        """Dead is only who surely is: in this boot of this machine, whose id no other has."""
        if self.process.boot_id != mine.boot_id:
            return Fate.UNKNOWN
        return mine.fate(self.process, self.id)

    def is_alive(self, mine: Process) -> bool:
        """True unless it is dead, or has been silent for long."""
        fate = self.fate(mine)
        return fate is Fate.ALIVE or (fate is Fate.UNKNOWN and self.silence < _SILENCE)

    def entry(self, mine: Process) -> WorkerEntry:
        """As people are shown it."""
        process, info = self.process, rows.from_json(self.info.encode())
        alive = self.is_alive(mine)
        return WorkerEntry(self.name or "", process.host, process.pid, self.since, alive, info)


class Me:
    """This broker object as a holder; a forked child begins anew."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.process = Process.this(clock)
        self.id = random.getrandbits(62)
        hold_as(self.id)
        self.seen = 0.0  # when it last said that it lives; 0: never
        self.name: str | None = None

    @property
    def current(self) -> bool:
        """False in a forked child."""
        return self.process.pid == os.getpid()

    @property
    def is_silent(self) -> bool:
        """True when it is time for a sign of life."""
        return not self.seen or self.clock.monotonic() - self.seen > HEARTBEAT

    def be_seen(self, batch: Batch, now: float | None) -> None:
        """Say that this process lives."""
        self.seen = self.clock.monotonic()
        process = self.process
        batch.call(
            SQL.see_holder,
            id=self.id,
            boot_id=process.boot_id,
            pid=process.pid,
            started=process.started,
            space=process.space,
            host=process.host,
            since=self.clock.wall(),
            now=now,
        )

    def enrol(self, batch: Batch, name: str, info: Mapping[str, Any], now: float | None) -> Pending:
        """Take a worker's name; the reply is the id of whoever has it then."""
        self.be_seen(batch, now)
        told = rows.as_json(info) or b"{}"
        return batch.value(
            SQL.enrol, name=name, info=told.decode(), since=self.clock.wall(), id=self.id
        )

    def __repr__(self) -> str:
        return f"<holder {self.id} in process {self.process.pid}>"
