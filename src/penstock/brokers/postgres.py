"""The broker on a PostgreSQL server.

A message is one row of one table from its publication to its end, when it is moved out; its state
is a number in it. What is done leaves a tombstone for a minute: whoever repeats a publication or a
settlement whose reply was lost finds it and changes nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, ClassVar

from msgspec.structs import replace

from penstock.brokers import rows
from penstock.brokers.base import Capabilities, WorkerEntry
from penstock.brokers.postgres_holders import FORGOTTEN, HEARTBEAT, Holder, Me
from penstock.brokers.postgres_looking import PostgresLooking
from penstock.brokers.postgres_promise import ASKED, promise
from penstock.brokers.postgres_settling import settled
from penstock.brokers.postgres_statements import SQL, copy_rows, message_arrays
from penstock.brokers.postgres_within import apublish_within, publish_within
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.pending import Pending
from penstock.engines.postgres import PostgresServer
from penstock.engines.postgres_batch import Batch
from penstock.engines.postgres_errors import AlreadyThere
from penstock.engines.postgres_records import SQL as RECORDS
from penstock.engines.postgres_records import as_kept
from penstock.engines.postgres_schema import Schema
from penstock.engines.postgres_values import integers, texts
from penstock.engines.processes import Fate
from penstock.errors import NameTaken, Unavailable, Uncertain
from penstock.message import Lease, Message, Settlement
from penstock.plan import Exchange, Listen, Listener, Plan, Wait, adrive
from penstock.url import Url

__all__ = ["PostgresBroker"]

_CONTROL = "control"
_OF_A_LEASE = 14  # columns of a claimed row that say something of it alone
_COPY_FROM = 200  # messages: with fewer, inserting them is one round trip and copying is three
_LONGEST_WAIT = 5.0  # seconds: look again after so long, should a notification be lost
_CHUNK = 5_000  # rows that one transaction prunes at most
_DONE_KEPT = 60.0  # seconds, as all of these; longer than anybody repeats an exchange
_DEAD_KEPT = 7 * 86_400.0
_NEWS_KEPT = 60.0
_PARTY_KEPT = 7 * 86_400.0


class PostgresBroker(PostgresLooking):
    """Custody in one schema of a database."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        durable="what is acknowledged outlives the death of every worker; what the server keeps of "
        "it when it dies itself, its own settings say"
    )

    def __init__(self, *, engine: PostgresServer, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._clock = clock
        self._claims = itertools.count(1)
        self._me = Me(clock)
        self._began = False  # the leases of the dead were looked for once
        self._made_at = clock.wall()
        self._heard: int | None = None
        self._asked_rubbish = 0.0
        if engine.is_open:
            with contextlib.suppress(Unavailable, Uncertain):
                last = self._look("announcements", lambda b: b.value(SQL.last_announcement))
                self._heard = last or 0

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> PostgresBroker:
        """The broker at ``postgresql://host/database``."""
        return cls(engine=PostgresServer.at(url), clock=clock)

    def reconnect(self) -> None:
        self.engine.reconnect()

    def close(self) -> None:
        try:
            me = self._me
            if me.current and me.seen:
                with contextlib.suppress(Unavailable, Uncertain):  # then its leases run out
                    self._do("leave", self._leave, durable=False)
                self._me = Me(self._clock)
        finally:
            self.engine.close()

    def _leave(self, batch: Batch) -> None:
        batch.call(SQL.release, id=self._me.id)
        batch.call(SQL.drop_holder, id=self._me.id)

    @property
    def schema(self) -> Schema:
        """The tables, for whoever administers them."""
        return self.engine.administration

    def describe(self) -> str:
        url = self.engine.url
        schema = "" if self.engine.schema == "penstock" else f"?schema={self.engine.schema}"
        return f"{url}{schema}"

    def durability(self) -> str:
        asked = self._look(
            "settings",
            lambda b: [b.value(f"SELECT current_setting('{name}')") for name in ASKED],
        )
        return promise(dict(zip(ASKED, asked, strict=True)))

    def keeps_records_of(self, store: object) -> bool:
        there = getattr(store, "engine", None)
        if there is self.engine:
            return True
        return isinstance(there, PostgresServer) and there.place == self.engine.place

    def listen(self, queues: Sequence[str]) -> Listener:
        return self.engine.listen((*(f"work:{queue}" for queue in queues), _CONTROL))

    def _holder(self) -> Me:
        if not self._me.current:
            self._me = Me(self._clock)
            self._began = False
        return self._me

    # --- publishing ----------------------------------------------------------------------

    def _publish(self, messages: Sequence[Message]) -> Plan[None]:
        rings = tuple(dict.fromkeys(f"work:{message.queue}" for message in messages))
        if len(messages) >= _COPY_FROM:
            data = copy_rows(messages, self._clock.wall())

            def copy(batch: Batch) -> None:
                batch.rows(SQL.copy, data)
                self._forget_done(batch, messages)

            try:
                yield Exchange("publish", copy, rings=rings)
            except AlreadyThere:  # some of it was stored before: see which
                pass
            else:
                return
        arrays = message_arrays(messages, self._clock.wall())

        def publish(batch: Batch) -> None:
            batch.call(SQL.publish, **arrays)
            self._forget_done(batch, messages)

        yield Exchange("publish", publish, rings=rings)

    def _forget_done(self, batch: Batch, messages: Sequence[Message]) -> None:
        keys = [message.key for message in messages]
        batch.call(SQL.forget_done, lowest=min(keys), highest=max(keys))

    def publish_within(self, connection: Any, messages: Sequence[Message]) -> None:
        publish_within(self.engine, connection, messages, self._clock.wall())

    async def apublish_within(self, connection: Any, messages: Sequence[Message]) -> None:
        await apublish_within(self.engine, connection, messages, self._clock.wall())

    # --- claiming ------------------------------------------------------------------------

    def _lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float
    ) -> Plan[list[Lease]]:
        return self._leasing(queues, limit, ttl, wait, [])

    async def alease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        import asyncio

        made: list[Exchange] = []
        try:
            return await adrive(self._leasing(queues, limit, ttl, wait, made), self.engine)
        except asyncio.CancelledError:  # what it claims, or has claimed, nobody would work on
            for claim in made:
                self._give_back(claim, queues)
            raise

    def _give_back(self, claim: Exchange, queues: Sequence[str]) -> None:
        mine = {"holder": self._me.id, "claim": int(claim.name.rpartition(" ")[2])}
        bells = tuple(f"work:{queue}" for queue in queues)
        back = Exchange("unclaim", lambda b: b.call(SQL.unclaim, **mine), rings=bells)
        self.engine.post(back, after=claim)

    def _leasing(
        self,
        queues: Sequence[str],
        limit: int,
        ttl: float,
        wait: float,
        made: list[Exchange],
    ) -> Plan[list[Lease]]:
        me = self._holder()
        if not self._began:
            yield from self._tend()  # the first time: the leases of the dead are free at once
        names = list(dict.fromkeys(queues))
        if limit <= 0 or not names:
            return []
        exchange = self._claim(me, names, limit, ttl, waits=wait > 0)
        made.append(exchange)
        before, found, _ = yield exchange
        missing = _missing(found, limit) if len(names) > 1 else 0
        if missing:  # others took what was counted: what they left is ours
            once_more = self._claim(me, names, missing, ttl, waits=False)
            made.append(once_more)
            again, more, _ = yield once_more
            found = [*found, *again, *more]
        if before or found or wait <= 0:
            return _leases([*before, *found], names)
        return (yield from self._wait_for(exchange, names, wait))

    def _claim(self, me: Me, queues: list[str], limit: int, ttl: float, *, waits: bool) -> Exchange:
        """The reply is the leases, what the same claim has had before, and when more may be due."""
        number = next(self._claims)
        who = {"holder": me.id, "claim": number, "now": self._now}
        repeated = False

        def run(batch: Batch) -> tuple[Any, Any, Any]:
            nonlocal repeated
            before: Any = batch.call(SQL.claimed, **who) if repeated else []
            if me.is_silent:
                me.be_seen(batch, self._now)
            batch.call(SQL.advance, now=self._now)
            wish = {"most": limit, "ttl": ttl, "again": repeated, **who}
            if len(queues) == 1:
                found = batch.call(SQL.claim, queue=queues[0], **wish)
            else:
                found = batch.call(SQL.claim_from, queues=texts(queues), **wish)
            repeated = True
            return before, found, batch.value(SQL.due, now=self._now) if waits else None

        return Exchange(f"lease {number}", run)

    def _wait_for(self, claim: Exchange, queues: list[str], wait: float) -> Plan[list[Lease]]:
        deadline = self._clock.monotonic() + wait
        listener = yield Listen(tuple(f"work:{queue}" for queue in queues))
        try:
            while True:
                before, found, due = yield claim
                left = deadline - self._clock.monotonic()
                if before or found or left <= 0:
                    return _leases([*before, *found], queues)
                nap = min(left, _LONGEST_WAIT if due is None else max(0.0, due))
                yield Wait(listener, min(nap, _LONGEST_WAIT))
        finally:
            listener.close()

    # --- settling ------------------------------------------------------------------------

    def _extend(self, leases: Sequence[Lease], ttl: float) -> Plan[list[Lease]]:
        me = self._holder()
        keys = texts(lease.message.key for lease in leases)
        fences = integers(lease.fence for lease in leases)

        def extend(batch: Batch) -> Pending:
            if me.is_silent:
                me.be_seen(batch, self._now)
            return batch.call(SQL.extend, keys=keys, fences=fences, ttl=ttl, now=self._now)

        held = yield Exchange("extend", extend, durable=False)
        return [replace(leases[place - 1], until=until) for place, until in sorted(held)]

    def _settle(self, settlements: Sequence[Settlement]) -> Plan[list[Settlement]]:
        return settled(settlements, now=self._now, wall=self._clock.wall())

    # --- upkeep --------------------------------------------------------------------------

    def _tend(self) -> Plan[float | None]:
        me = self._holder()
        due, found, rubbish = yield Exchange("look around", self._around, writes=False)
        self._began = True
        holders = Holder.read(found)
        gone = [holder.id for holder in holders if holder.fate(me.process) is Fate.DEAD]
        if gone or (due is not None and due <= 0) or (me.name and me.is_silent):
            due = yield Exchange("tend", lambda b: self._advance(b, me, gone), durable=False)
        if rubbish:
            counts = yield Exchange("prune", self._prune, durable=False)
            if any(count >= _CHUNK for count in counts):
                return 0.0
        due = None if due is None else max(0.0, due)
        return due if not me.name else min(HEARTBEAT, HEARTBEAT if due is None else due)

    def _around(self, batch: Batch) -> tuple[Pending, Pending, Pending]:
        kept = {
            "done_kept": _DONE_KEPT,
            "dead_kept": _DEAD_KEPT,
            "news_kept": _NEWS_KEPT,
            "party_kept": _PARTY_KEPT,
        }
        return (
            batch.value(SQL.due, now=self._now),
            batch.call(SQL.holders, now=self._now),
            batch.value(SQL.rubbish, now=self._now, **kept),
        )

    def _advance(self, batch: Batch, me: Me, dead: Sequence[int]) -> Pending:
        if me.name and me.is_silent:
            me.be_seen(batch, self._now)
        for number in dead:
            batch.call(SQL.bereave, id=number)
            batch.call(SQL.drop_holder, id=number)
        batch.call(SQL.advance, now=self._now)
        return batch.value(SQL.due, now=self._now)

    def _prune(self, batch: Batch) -> list[Pending]:
        aged = (
            (SQL.prune_done, _DONE_KEPT),
            (SQL.prune_dead, _DEAD_KEPT),
            (SQL.prune_announcements, _NEWS_KEPT),
            (RECORDS.prune_parties, _PARTY_KEPT),
        )
        limits = {"now": self._now, "most": _CHUNK}
        batch.call(SQL.forget_holders, now=self._now, age=FORGOTTEN)
        return [
            *(batch.value(sql, age=age, **limits) for sql, age in aged),
            batch.value(SQL.prune_revoked, **limits),
            batch.value(RECORDS.prune_results, **limits),
        ]

    # --- revoking, announcing, enrolling -------------------------------------------------

    def revoke(self, ids: Sequence[str], ttl: float) -> None:
        told = texts(dict.fromkeys(ids))
        self._do("revoke", lambda b: b.call(SQL.revoke, ids=told, ttl=ttl, now=self._now))

    def announce(self, payload: bytes) -> None:
        token = random.getrandbits(62)

        def announce(batch: Batch) -> None:
            batch.call(SQL.one_by_one)
            batch.call(SQL.announce, token=token, payload=payload, now=self._now)

        self._do("announce", announce, rings=(_CONTROL,))

    def announced(self) -> list[bytes]:
        if self._heard is None:
            before = self._look(
                "heard", lambda b: b.value(SQL.announced_before, moment=self._made_at)
            )
            self._heard = before or 0
        news = self._look("announced", lambda b: b.call(SQL.announced, heard=self._heard))
        if news:
            self._heard = news[-1][0]
        return [payload for _, payload in news]

    def enrol(self, name: str, info: Mapping[str, Any]) -> None:
        me = self._holder()
        while True:
            try:
                owner = self._do("enrol", lambda b: me.enrol(b, name, info, self._now))
            except AlreadyThere:  # somebody took it at the same moment
                continue
            if owner == me.id:
                me.name = name
                return
            holder = next((holder for holder in self._holders() if holder.id == owner), None)
            if holder is not None and holder.is_alive(me.process):
                process = holder.process
                raise NameTaken(
                    f"a live worker is called {name} already (process {process.pid} on "
                    f"{process.host}); stop it, or choose another name"
                )
            if owner is not None:
                self._bury(me, owner)

    def _bury(self, me: Me, holder: int) -> None:
        self._do("bury", lambda b: self._advance(b, me, [holder]))

    def _holders(self) -> list[Holder]:
        return Holder.read(self._look("holders", lambda b: b.call(SQL.holders, now=self._now)))

    def workers(self) -> list[WorkerEntry]:
        mine = self._holder().process
        return [holder.entry(mine) for holder in self._holders() if holder.name is not None]

    def neighbours(self) -> list[int]:
        mine = self._holder().process
        alive = [x for x in self._holders() if x.fate(mine) is Fate.ALIVE]
        return sorted({x.process.pid for x in alive} - {mine.pid})

    def __repr__(self) -> str:
        return f"PostgresBroker({str(self.engine.url)!r})"


def _missing(found: Sequence[tuple[Any, ...]], limit: int) -> int:
    """How many a claim of several queues might have had and has not."""
    return min(limit, found[0][-1]) - len(found) if found else 0


def _leases(found: Sequence[tuple[Any, ...]], queues: Sequence[str]) -> list[Lease]:
    """Leases from claimed rows: best first, and one of each queue after the other."""
    claimed = sorted((row[:_OF_A_LEASE] for row in found), key=rows.order)
    if len(queues) == 1:
        return [rows.lease(row) for row in claimed]
    parts = [[row for row in claimed if row[3] == as_kept(queue)] for queue in queues]
    return [rows.lease(row) for row in chain.from_iterable(zip_longest(*parts)) if row is not None]
