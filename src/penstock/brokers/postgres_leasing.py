"""Leases on a PostgreSQL server: claimed, waited for, renewed, and given back if unheard of."""

from __future__ import annotations

import asyncio
import itertools
from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

from msgspec.structs import replace

from penstock.brokers import rows
from penstock.brokers.postgres_holders import Me
from penstock.brokers.postgres_looking import PostgresLooking
from penstock.brokers.postgres_statements import SQL
from penstock.clock import Clock
from penstock.engines.pending import Pending
from penstock.engines.postgres import PostgresServer
from penstock.engines.postgres_batch import Batch, apart
from penstock.engines.postgres_records import as_kept
from penstock.engines.postgres_values import integers, texts
from penstock.message import Lease
from penstock.plan import Exchange, Listen, Plan, Wait, adrive

__all__ = ["PostgresLeasing"]

_OF_A_LEASE = 14  # columns of a claimed row that say something of it alone
_MOST_UNHEARD = 100  # claims: while the server is away they do not even begin
_LONGEST_WAIT = 5.0  # seconds: look again after so long, should a notification be lost


class PostgresLeasing(PostgresLooking):
    """The part of the broker that hands messages out."""

    def __init__(self, *, engine: PostgresServer, clock: Clock) -> None:
        self.engine = engine
        self._clock = clock
        self._claims = itertools.count(1)
        self._unheard: list[int] = []  # claims whose reply was lost: what they took, nobody has
        self._me = Me(clock)
        self._began = False  # the leases of the dead were looked for once

    @abstractmethod
    def _tend(self) -> Plan[float | None]: ...

    def _holder(self) -> Me:
        if not self._me.current:
            self._me = Me(self._clock)
            self._began, self._unheard = False, []
        return self._me

    def _lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float
    ) -> Plan[list[Lease]]:
        return self._leasing(queues, limit, ttl, wait, [])

    async def alease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        made: list[Exchange] = []
        try:
            return await adrive(self._leasing(queues, limit, ttl, wait, made), self.engine)
        except asyncio.CancelledError:  # what it claims, or has claimed, nobody would work on
            for claim in made:
                self._give_back(claim, queues)
            raise

    def _give_back(self, claim: Exchange, queues: Sequence[str]) -> None:
        mine = {"holder": self._me.id, "claims": integers([_number(claim)])}
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
        before, found, _ = yield from self._asked(exchange)
        missing = _missing(found, limit) if len(names) > 1 else 0
        if missing:  # others took what was counted: what they left is ours
            once_more = self._claim(me, names, missing, ttl, waits=False)
            made.append(once_more)
            again, more, _ = yield from self._asked(once_more)
            found = [*found, *again, *more]
        if before or found or wait <= 0:
            return _leases([*before, *found], names)
        return (yield from self._wait_for(exchange, names, wait))

    def _claim(self, me: Me, queues: list[str], limit: int, ttl: float, *, waits: bool) -> Exchange:
        """The reply is the leases, what the same claim has had before, and when more may be due."""
        number = next(self._claims)
        who = {"holder": me.id, "claim": number, "now": self._now}
        unheard = list(self._unheard)
        repeated = False

        def run(batch: Batch) -> tuple[Any, Any, Any]:
            nonlocal repeated
            if unheard:
                batch.call(SQL.unclaim, holder=me.id, claims=integers(unheard))
            before: Any = batch.call(SQL.claimed, **who) if repeated else []
            if me.is_silent:
                me.be_seen(batch, self._now)
            batch.call(SQL.advance, **self._ending)
            wish = {"most": limit, "ttl": ttl, "again": repeated, **who}
            if len(queues) == 1:
                found = batch.call(SQL.claim, queue=queues[0], **wish)
            else:
                found = batch.call(SQL.claim_from, queues=texts(queues), **wish)
            repeated = True
            return before, found, batch.value(SQL.due, **self._ending) if waits else None

        return Exchange(f"lease {number}", run)

    def _asked(self, claim: Exchange) -> Plan[tuple[Any, Any, Any]]:
        """Its reply; without one, what it may have leased goes back with the next claim."""
        unheard = self._unheard
        try:
            reply: tuple[Any, Any, Any] = yield claim
        except BaseException:  # with GeneratorExit where it shared a round trip that failed
            self._unheard = [*self._unheard, _number(claim)][-_MOST_UNHEARD:]
            raise
        self._unheard = [number for number in self._unheard if number not in unheard]
        return reply

    def _wait_for(self, claim: Exchange, queues: list[str], wait: float) -> Plan[list[Lease]]:
        deadline = self._clock.monotonic() + wait
        listener = yield Listen(tuple(f"work:{queue}" for queue in queues))
        try:
            while True:
                before, found, due = yield from self._asked(claim)
                left = deadline - self._clock.monotonic()
                if before or found or left <= 0:
                    return _leases([*before, *found], queues)
                nap = min(left, _LONGEST_WAIT if due is None else max(0.0, due))
                yield Wait(listener, min(nap, _LONGEST_WAIT))
        finally:
            listener.close()

    def _extend(self, leases: Sequence[Lease], ttl: float) -> Plan[list[Lease]]:
        me = self._holder()
        groups = list(apart((lease.message.key,) for lease in leases))

        def extend(batch: Batch) -> list[Pending]:
            if me.is_silent:
                me.be_seen(batch, self._now)
            return [
                batch.call(
                    SQL.extend,
                    keys=texts(leases[place].message.key for place in group),
                    fences=integers(leases[place].fence for place in group),
                    ttl=ttl,
                    now=self._now,
                )
                for group in groups
            ]

        replies = yield Exchange("extend", extend, durable=False)
        held = {
            group[place - 1]: until
            for group, found in zip(groups, replies, strict=True)
            for place, until in found
        }
        return [replace(leases[place], until=held[place]) for place in sorted(held)]


def _number(claim: Exchange) -> int:
    return int(claim.name.rpartition(" ")[2])


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
