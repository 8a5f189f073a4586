"""The broker on a SQLite file: the default, durable, without a server.

A message is one row and its state a number in it, so that nothing can disagree with anything.
What is done leaves a tombstone for a minute: whoever repeats a publication or a settlement whose
reply was lost finds it and changes nothing.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec.structs import replace

from penstock.brokers import rows
from penstock.brokers import sqlite_upkeep as upkeep
from penstock.brokers.base import Capabilities, WorkerEntry
from penstock.brokers.sqlite_claim import SQL, Row, fair_shares, in_turn, settle
from penstock.brokers.sqlite_holders import Holder, Me
from penstock.brokers.sqlite_looking import WORK, SqliteLooking
from penstock.brokers.sqlite_within import publish_within
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.processes import Fate
from penstock.engines.rows import changed, insert
from penstock.engines.sqlite import SqliteFile
from penstock.errors import PenstockError
from penstock.message import Again, Lease, Message, Settlement
from penstock.plan import Exchange, Listen, Listener, Plan, Wait, adrive, drive
from penstock.url import Url

if TYPE_CHECKING:
    import apsw

__all__ = ["SqliteBroker"]

_DONE, _CONTROL = "done", "control"  # bells, beside WORK
_CROWD = 16  # settlements at once that mean load; with fewer, `tend` does the pruning
_HEARTBEAT = 5.0
_LONGEST_WAIT = 30.0  # look again after so long, should a ring ever be lost (the folder deleted)

_PROCESS = Capabilities(
    durable="what is acknowledged outlives the death of every process; a power loss may take the "
    "last of it"
)


class SqliteBroker(SqliteLooking):
    """Custody in one file, for the processes of one machine."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        durable="what is acknowledged outlives the death of every process, and a power loss"
    )

    def __init__(self, *, engine: SqliteFile, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._clock = clock
        self._claims = itertools.count(1)
        self._me = Me(clock)
        self._entered = ""  # the boot whose start this object has seen to
        self._made_at = clock.wall()
        self._heard: int | None = None
        self._sweep = upkeep.Sweep()
        if engine.location.synchronous != "FULL":
            self.capabilities = _PROCESS  # type: ignore[misc] # a choice of this one URL
        if engine.is_open:
            self._heard = self._look("announcements", self._last_announcement)

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> SqliteBroker:
        """The broker in the file of ``sqlite:///name.db``."""
        return cls(engine=SqliteFile.at(url), clock=clock)

    def reconnect(self) -> None:
        self.engine.reconnect()

    def close(self) -> None:
        try:
            me = self._holder()
            if me.registered:
                self._do("leave", me.leave, durable=False, rings=(WORK,))
                self._me = Me(self._clock)
        finally:
            self.engine.close()

    def describe(self) -> str:
        return f"sqlite:///{self.engine.location.path}"

    def keeps_records_of(self, store: object) -> bool:
        return getattr(store, "engine", None) is self.engine

    def listen(self, queues: Sequence[str]) -> Listener:
        return self.engine.listen((WORK, _CONTROL) if queues else (_CONTROL,))

    def _holder(self) -> Me:
        if not self._me.current:
            self._me = Me(self._clock)
            self._entered = ""
        return self._me

    # --- moving messages -----------------------------------------------------------------

    def _publish(self, messages: Sequence[Message]) -> Exchange:
        now = self._clock.wall()
        values = [rows.message_row(message, now) for message in messages]

        # A worker may begin while we wait for the disk: what it settles brings this to disk, too.
        return Exchange(
            "publish",
            lambda connection: insert(connection, SQL.publish, values),
            seen_early=True,
            rings=(WORK,),
        )

    def publish_within(self, connection: Any, messages: Sequence[Message]) -> None:
        publish_within(self.engine, connection, messages, self._clock.wall(), (WORK,))

    def _lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float
    ) -> Plan[list[Lease]]:
        return self._leasing(queues, limit, ttl, wait, next(self._claims))

    def lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        claim = next(self._claims)
        try:
            return drive(self._leasing(queues, limit, ttl, wait, claim), self.engine)
        except BaseException as error:
            if not isinstance(error, PenstockError):  # Ctrl-C
                self._give_back(claim)
            raise

    async def alease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        import asyncio

        claim = next(self._claims)
        try:
            return await adrive(self._leasing(queues, limit, ttl, wait, claim), self.engine)
        except asyncio.CancelledError:
            self._give_back(claim)
            raise

    def _give_back(self, claim: int) -> None:
        """What it claims, or has claimed, nobody would work on."""
        mine = (self._me.id, claim)
        self.engine.post(Exchange("unclaim", lambda c: c.execute(SQL.unclaim, mine), rings=(WORK,)))

    def _leasing(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float, claim: int
    ) -> Plan[list[Lease]]:
        me = self._holder()
        if self._entered != self._clock.boot_id():
            yield from self._tend()  # the first time: the leases of the dead are free at once
        exchange = self._claim(me, list(dict.fromkeys(queues)), limit, ttl, claim)
        leases, _ = yield exchange
        me.registered = True
        if not leases and wait > 0 and limit > 0 and queues:
            leases = yield from self._wait_for(exchange, wait)
        return leases  # type: ignore[no-any-return]

    def _claim(self, me: Me, queues: list[str], limit: int, ttl: float, claim: int) -> Exchange:
        repeated = False

        def run(connection: apsw.Connection) -> tuple[list[Lease], float | None]:
            nonlocal repeated
            if repeated:
                found = list(connection.execute(SQL.claimed, (me.id, claim, self._clock.wall())))
                if found:
                    return in_turn([found]), None
            repeated = True
            if not me.registered:
                me.register(connection)
            upkeep.advance(connection, self._clock)
            until, now = self._clock.boot() + ttl, self._clock.wall()

            def take(queue: str, wish: int) -> list[Row]:
                found = list(connection.execute(SQL.next_ready, (queue, now, wish, until)))
                taken = [(me.id, until, claim, row[0]) for row in found]
                connection.executemany(SQL.take, taken)
                return found

            leases = in_turn(fair_shares(queues, limit, take))
            return leases, None if leases else upkeep.next_due(connection, self._clock)

        return Exchange("lease", run, durable=False)

    def _wait_for(self, claim: Exchange, wait: float) -> Plan[list[Lease]]:
        deadline = self._clock.monotonic() + wait
        listener = yield Listen((WORK,))
        try:
            while True:
                leases, due = yield claim
                left = deadline - self._clock.monotonic()
                if leases or left <= 0:
                    return leases  # type: ignore[no-any-return]
                nap = min(left, _LONGEST_WAIT if due is None else due)
                if not (yield Wait(listener, nap)) and nap == left:
                    leases, _ = yield claim
                    return leases  # type: ignore[no-any-return]
        finally:
            listener.close()

    def _extend(self, leases: Sequence[Lease], ttl: float) -> Plan[list[Lease]]:
        me = self._holder()
        until = self._clock.boot() + ttl
        fences = [(until, lease.message.key, lease.fence) for lease in leases]

        def extend(connection: apsw.Connection) -> list[bool]:
            me.be_seen(connection)
            return [changed(connection, SQL.extend, fence) for fence in fences]

        held = yield Exchange("extend", extend, durable=False)
        return [replace(lease, until=until) for lease in compress(leases, held)]

    def _settle(self, settlements: Sequence[Settlement]) -> Plan[list[Settlement]]:
        again = ended = False
        for settlement in settlements:
            again = again or type(settlement) is Again
            ended = ended or settlement.record is not None

        def run(connection: apsw.Connection) -> list[int]:
            lost = settle(connection, settlements, self._clock)
            if len(settlements) >= _CROWD:  # for a few it would take as long as settling them
                # Two old tombstones go for each new one: so they never grow, however fast it goes.
                upkeep.prune_done(connection, self._clock.boot(), 2 * len(settlements))
            return lost

        rings = (WORK,) * again + (_DONE,) * ended
        lost = yield Exchange("settle", run, rings=rings)
        return [settlements[place] for place in lost]

    # --- upkeep --------------------------------------------------------------------------

    def _tend(self) -> Plan[float | None]:
        me = self._holder()
        if self._entered != self._clock.boot_id():
            boot_id = self._clock.boot_id()
            yield Exchange("enter", lambda c: upkeep.enter_boot(c, self._clock), rings=(WORK,))
            self._entered = boot_id
        due, holders, rubbish = yield Exchange("look around", self._around, writes=False)
        gone = [holder.id for holder in holders if holder.fate(me) is Fate.DEAD]
        if gone or due == 0:
            due = yield Exchange(
                "tend", lambda c: self._advance(c, gone), durable=False, rings=(WORK,)
            )
        if rubbish or self._unseen(me, holders):
            rubbish = yield Exchange("prune", lambda c: self._prune(c, me), durable=False)
        if rubbish:
            return 0.0
        return due if not me.named else min(_HEARTBEAT, _HEARTBEAT if due is None else due)

    def _around(self, connection: apsw.Connection) -> tuple[float | None, list[Holder], bool]:
        due = upkeep.next_due(connection, self._clock)
        expired = self._sweep.look(connection, self._clock)
        return due, Holder.all(connection), expired or upkeep.rubbish(connection, self._clock)

    def _advance(self, connection: apsw.Connection, dead: Sequence[int]) -> float | None:
        upkeep.advance(connection, self._clock, dead)
        return upkeep.next_due(connection, self._clock)

    def _unseen(self, me: Me, holders: Sequence[Holder]) -> bool:
        limit = self._clock.boot() - _HEARTBEAT
        return any(holder.id == me.id and holder.seen <= limit for holder in holders)

    def _prune(self, connection: apsw.Connection, me: Me) -> bool:
        me.be_seen(connection)
        more = self._sweep.drop(connection, self._clock)
        return upkeep.prune(connection, self._clock) or more

    # --- revoking, announcing, enrolling -------------------------------------------------

    def revoke(self, ids: Sequence[str], ttl: float) -> None:
        values = [(task_id, self._clock.wall() + ttl) for task_id in ids]
        self._do("revoke", lambda c: c.executemany(SQL.revoke, values))

    def announce(self, payload: bytes) -> None:
        values = (random.getrandbits(62), self._clock.wall(), payload)
        self._do("announce", lambda c: c.execute(SQL.announce, values), rings=(_CONTROL,))

    def announced(self) -> list[bytes]:
        news = self._look("announced", self._news)
        if news:
            self._heard = news[-1][0]
        return [payload for _, payload in news]

    def _news(self, connection: apsw.Connection) -> list[tuple[int, bytes]]:
        if self._heard is None:
            before = connection.execute(SQL.announced_before, (self._made_at,)).get
            self._heard = before or 0
        return list(connection.execute(SQL.announced, (self._heard,)))

    def _last_announcement(self, connection: apsw.Connection) -> int:
        return connection.execute(SQL.last_announcement).get or 0

    def enrol(self, name: str, info: Mapping[str, Any]) -> None:
        me = self._holder()
        if self._entered != self._clock.boot_id():
            drive(self._tend(), self.engine)
        self._do("enrol", lambda c: me.enrol(c, name, info))
        me.registered = me.named = True

    def workers(self) -> list[WorkerEntry]:
        me = self._holder()
        holders = self._look("workers", Holder.all)
        return [holder.entry(me) for holder in holders if holder.name is not None]

    def neighbours(self) -> list[int]:
        me = self._holder()
        alive = (h for h in self._look("neighbours", Holder.all) if h.fate(me) is Fate.ALIVE)
        return sorted({h.process.pid for h in alive} - {me.process.pid})

    def __repr__(self) -> str:
        return f"SqliteBroker({self.engine.location.path!r})"
