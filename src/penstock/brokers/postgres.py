"""The broker on a PostgreSQL server.

A message is one row of one table from its publication to its end, when it is moved out; its state
is a number in it. What is done leaves a tombstone for a minute: whoever repeats a publication or a
settlement whose reply was lost finds it and changes nothing.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from penstock.brokers.base import Capabilities, WorkerEntry
from penstock.brokers.postgres_holders import FORGOTTEN, HEARTBEAT, Holder, Me
from penstock.brokers.postgres_leasing import PostgresLeasing
from penstock.brokers.postgres_promise import ASKED, promise
from penstock.brokers.postgres_settling import settled
from penstock.brokers.postgres_statements import SQL, copy_rows, message_arrays, message_values
from penstock.brokers.postgres_within import apublish_within, publish_within
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.pending import Pending
from penstock.engines.postgres import PostgresServer
from penstock.engines.postgres_batch import Batch
from penstock.engines.postgres_errors import AlreadyThere
from penstock.engines.postgres_records import SQL as RECORDS
from penstock.engines.postgres_schema import Schema
from penstock.engines.postgres_values import texts
from penstock.engines.processes import Fate
from penstock.errors import NameTaken, Unavailable, Uncertain
from penstock.message import Message, Settlement
from penstock.plan import Exchange, Listener, Plan
from penstock.url import Url

__all__ = ["PostgresBroker"]

_CONTROL = "control"
_COPY_FROM = 200  # messages: with fewer, inserting them is one round trip and copying is two
_CHUNK = 5_000  # rows that one transaction prunes at most
_DONE_KEPT = 60.0  # seconds, as all of these; longer than anybody repeats an exchange
_DEAD_KEPT = 7 * 86_400.0
_NEWS_KEPT = 60.0
_PARTY_KEPT = 7 * 86_400.0


class PostgresBroker(PostgresLeasing):
    """Custody in one schema of a database."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        durable="what is acknowledged outlives the death of every worker; what the server keeps of "
        "it when it dies itself, its own settings say"
    )

    def __init__(self, *, engine: PostgresServer, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(engine=engine, clock=clock)
        self._made_at = clock.wall()
        self._heard: int | None = None
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

    # --- publishing ----------------------------------------------------------------------

    def _publish(self, messages: Sequence[Message]) -> Plan[None] | Exchange:
        rings = tuple(dict.fromkeys(f"work:{message.queue}" for message in messages))
        many = len(messages) >= _COPY_FROM
        return self._copying(messages, rings) if many else self._inserting(messages, rings)

    def _copying(self, messages: Sequence[Message], rings: tuple[str, ...]) -> Plan[None]:
        now = self._clock.wall()

        def copy(batch: Batch) -> None:
            batch.rows(SQL.copy, lambda: copy_rows(messages, now))
            self._forget_done(batch, messages)

        try:
            yield Exchange("publish", copy, rings=rings)
        except AlreadyThere:  # some of it was stored before: see which
            yield self._inserting(messages, rings)

    def _inserting(self, messages: Sequence[Message], rings: tuple[str, ...]) -> Exchange:
        now = self._clock.wall()
        if len(messages) == 1:
            sql, values = SQL.publish_one, message_values(messages[0], now)
        else:
            sql, values = SQL.publish, message_arrays(messages, now)

        def publish(batch: Batch) -> None:
            batch.call(sql, **values)
            self._forget_done(batch, messages)

        # A worker may begin while we wait for the disk: what it settles brings this to disk, too.
        return Exchange("publish", publish, seen_early=True, rings=rings)

    def _forget_done(self, batch: Batch, messages: Sequence[Message]) -> None:
        keys = [message.key for message in messages]
        batch.call(SQL.forget_done, lowest=min(keys), highest=max(keys))

    def publish_within(self, connection: Any, messages: Sequence[Message]) -> None:
        publish_within(self.engine, connection, messages, self._clock.wall())

    async def apublish_within(self, connection: Any, messages: Sequence[Message]) -> None:
        await apublish_within(self.engine, connection, messages, self._clock.wall())

    # --- settling ------------------------------------------------------------------------

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
            batch.value(SQL.due, **self._ending),
            batch.call(SQL.holders, now=self._now),
            batch.value(SQL.rubbish, now=self._now, **kept),
        )

    def _advance(self, batch: Batch, me: Me, dead: Sequence[int]) -> Pending:
        if me.name and me.is_silent:
            me.be_seen(batch, self._now)
        for number in dead:
            batch.call(SQL.bereave, id=number)
            batch.call(SQL.drop_holder, id=number)
        batch.call(SQL.advance, **self._ending)
        return batch.value(SQL.due, **self._ending)

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
