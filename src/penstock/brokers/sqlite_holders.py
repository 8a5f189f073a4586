"""The holders of leases in a SQLite file: who they are and whether they live."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.brokers import rows
from penstock.brokers.base import WorkerEntry
from penstock.brokers.sqlite_claim import SQL
from penstock.clock import Clock
from penstock.engines.processes import Fate, Process, hold_as
from penstock.errors import NameTaken

if TYPE_CHECKING:
    import apsw

__all__ = ["Holder", "Me", "bury"]

_LEASE = 15.0  # seconds unseen after which a holder nobody here can look at may be replaced


class Holder(msgspec.Struct, frozen=True):
    """One row of the holders' table."""

    id: int
    process: Process
    name: str | None
    since: float
    seen: float
    info: bytes

    @classmethod
    def all(cls, connection: apsw.Connection) -> list[Holder]:
        """Everyone who is registered."""
        return [
            cls(number, Process(*process), name, since, seen, info)
            for number, *process, name, since, seen, info in connection.execute(SQL.holders)
        ]

    def is_alive(self, me: Me) -> bool:
        """True unless it is surely dead, or has not been seen for a lease by those who can."""
        fate = self.fate(me)
        if fate is Fate.UNKNOWN:
            return me.clock.boot() - self.seen < _LEASE
        return fate is Fate.ALIVE

    def fate(self, me: Me) -> Fate:
        """What can be known about it from here."""
        return me.process.fate(self.process, self.id)

    def entry(self, me: Me) -> WorkerEntry:
        """It as a worker."""
        host, pid = self.process.host, self.process.pid
        info = rows.from_json(self.info)
        return WorkerEntry(self.name or "", host, pid, self.since, self.is_alive(me), info)


class Me:
    """This broker object as a holder. One per object and process: a fork makes a new one."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.process = Process.this(clock)
        self.id = random.getrandbits(62)
        hold_as(self.id)
        self.registered = False  # set once a commit with it has been confirmed
        self.named = False

    @property
    def current(self) -> bool:
        """False in a forked child, and after a restart."""
        process = self.process
        return os.getpid() == process.pid and self.clock.boot_id() == process.boot_id

    def register(self, connection: apsw.Connection) -> None:
        """Be there, and be seen now."""
        p = self.process
        row = (self.id, p.boot_id, p.pid, p.started, p.space, p.host)
        connection.execute(SQL.see_holder, (*row, self.clock.wall(), self.clock.boot()))

    def be_seen(self, connection: apsw.Connection) -> None:
        """Say that this process lives, to those who cannot see it."""
        connection.execute(SQL.touch_holder, (self.clock.boot(), self.id))

    def enrol(self, connection: apsw.Connection, name: str, info: Mapping[str, Any]) -> None:
        """Take a worker's name; raises NameTaken."""
        for holder in Holder.all(connection):
            if holder.name == name and holder.id != self.id:
                if holder.is_alive(self):
                    raise NameTaken(
                        f"a live worker is called {name} already (process {holder.process.pid} "
                        f"on {holder.process.host}); stop it, or choose another name"
                    )
                bury(connection, [holder.id])
        self.register(connection)
        taken = (name, rows.as_json(info), self.clock.wall(), self.id)
        connection.execute(SQL.name_holder, taken)

    def leave(self, connection: apsw.Connection) -> None:
        """Free the leases and withdraw."""
        connection.execute(SQL.release, (self.id,))
        connection.execute(SQL.drop_holder, (self.id,))

    def __repr__(self) -> str:
        return f"<holder {self.id} in process {self.process.pid}>"


def bury(connection: apsw.Connection, ids: Sequence[int]) -> None:
    """Free the leases of dead holders, and forget these."""
    for number in ids:
        connection.execute(SQL.bereave, (number,))
        connection.execute(SQL.drop_holder, (number,))
