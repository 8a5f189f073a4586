"""The broker on a Redis server, in Celery's lists and envelopes.

A claim moves messages from the lists to a leased place in one atomic step, so that none is ever in
nobody's custody; a settlement names its lease, and one that was lost changes nothing. What comes
back (a lease that ended, a delay that is due) waits in lists of ours beside Celery's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain, zip_longest
from typing import Any, ClassVar

from msgspec.structs import replace

from penstock.brokers import redis_raw as raws
from penstock.brokers.base import Capabilities
from penstock.brokers.redis_company import RedisCompany
from penstock.brokers.redis_holders import Me
from penstock.brokers.redis_looking import script
from penstock.brokers.redis_promise import promise
from penstock.brokers.redis_talk import RedisTalk
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.redis import RedisServer
from penstock.engines.redis_batch import Batch, Pending
from penstock.engines.redis_records import as_words
from penstock.errors import BrokerError, PenstockError, Unavailable, Uncertain
from penstock.message import Again, Done, Lease, Message, Settlement
from penstock.plan import Exchange, Listen, Listener, Plan, Wait, adrive
from penstock.url import Url

__all__ = ["RedisBroker"]

_CLAIM, _SETTLE = script("claim"), script("settle", record=True)
_EXTEND, _UNCLAIM = script("extend"), script("unclaim")

_PUSHES = 500  # messages in one command, and settlements in one script
_LONGEST_WAIT = 30.0  # seconds: look again after so long, should anything be lost


class RedisBroker(RedisCompany):
    """Custody on a server that Celery's processes may share."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        durable="what is acknowledged outlives the death of every worker; what the server keeps of "
        "it when it dies itself, its own settings say",
        highest_first=False,
        repeatable=False,
        rings_for_each=False,
    )

    def __init__(self, *, engine: RedisServer, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(engine=engine, clock=clock)
        engine.greeting = (script("greet"), engine.prefix, self._now)
        self._bound: dict[str, int] = {}  # queues with bindings, and the connection since which
        self._store: Any = None

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> RedisBroker:
        """The broker at ``redis://host/database``."""
        return cls(engine=RedisServer.at(url), clock=clock)

    def reconnect(self) -> None:
        self.engine.reconnect()

    def part(self) -> None:
        self.engine.part()

    def close(self) -> None:
        try:
            if self._me.current and (self._me.claims or self._me.name):
                with contextlib.suppress(PenstockError):  # then its leases run out
                    self._withdraw(self._me)
                self._me = Me(self._clock)
        finally:
            self.engine.close()

    def describe(self) -> str:
        return str(self.engine.url)

    def keeps_records_of(self, store: object) -> bool:
        there = getattr(store, "engine", None)
        ours = isinstance(there, RedisServer) and (there.server, there.prefix) == (
            self.engine.server,
            self.engine.prefix,
        )
        if ours:
            self._store = there
        return ours

    def durability(self) -> str:
        return promise(self._settings())

    @cached_property
    def talk(self) -> RedisTalk:
        return RedisTalk(self)

    def listen(self, queues: Sequence[str]) -> Listener:
        listener: Listener = self.engine.execute(Listen(self._bells(queues)))
        return listener

    def _bells(self, queues: Sequence[str]) -> tuple[str, ...]:
        lists = [
            f"key:{name}{step}"
            for queue in queues
            for name in (self._key(queue), self._own(f"back.{queue}"))
            for step in raws.STEPS
        ]
        return (*lists, f"key:{self._own('news')}")

    # --- publishing ----------------------------------------------------------------------

    def _publish(self, messages: Sequence[Message]) -> Plan[None]:
        """List by list, so that what is surely stored is known when the connection breaks."""
        lists: dict[str, list[Message]] = {}
        for message in messages:
            lists.setdefault(raws.list_of(message), []).append(message)
        stored: list[str] = []
        for name, there in lists.items():
            for start in range(0, len(there), _PUSHES):
                part = there[start : start + _PUSHES]
                connection = self.engine.connected
                try:
                    beside = yield Exchange("publish", self._push(name, part))
                except PenstockError as error:
                    if not stored and not isinstance(error, Uncertain):
                        raise
                    raise Uncertain(str(error), stored=tuple(stored)) from error
                if not any(isinstance(said, Exception) for said in beside):
                    self._bound[part[0].queue] = connection
                stored += [message.id for message in part]

    def _push(self, name: str, messages: Sequence[Message]) -> Callable[[Batch], list[Pending]]:
        """What stores them; where they may be looked for is said beside, and may be refused."""
        queue, now = messages[0].queue, self._clock.wall()
        envelopes = [raws.write(message) for message in messages]
        early = [
            word
            for message in messages
            if message.ready_at > now
            for word in (repr(message.ready_at), f"{message.key} {queue}")
        ]

        def push(batch: Batch) -> list[Pending]:
            beside = []
            if self._bound.get(queue) != self.engine.connected:  # a new server may have none
                binding = f"{queue}\x06\x16\x06\x16{queue}"
                beside.append(batch.aside("SADD", self._key(f"_kombu.binding.{queue}"), binding))
                beside.append(batch.aside("SADD", self._own("queues"), queue))
            if early:
                beside.append(batch.aside("ZADD", self._own("soon"), *early))
            batch.call("LPUSH", self._key(name), *envelopes)
            return beside

        return push

    # --- claiming ------------------------------------------------------------------------

    def _lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float
    ) -> Plan[list[Lease]]:
        return self._leasing(queues, limit, ttl, wait, [])

    async def alease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        import asyncio

        claims: list[tuple[str, int]] = []
        try:
            return await adrive(self._leasing(queues, limit, ttl, wait, claims), self.engine)
        except asyncio.CancelledError:  # what it claims, or has claimed, nobody would work on
            if claims:
                self.engine.post(
                    Exchange("unclaim", lambda batch: self._script(batch, _UNCLAIM, *claims[-1]))
                )
            raise

    def _leasing(
        self,
        queues: Sequence[str],
        limit: int,
        ttl: float,
        wait: float,
        claims: list[tuple[str, int]],
    ) -> Plan[list[Lease]]:
        me = self._holder()
        if not me.claims:
            me.claims = 1
            yield from self._tend()  # the first time: the leases of the dead are free at once
        names = list(dict.fromkeys(queues))
        if limit <= 0 or not names:
            return []

        def claim() -> Plan[tuple[list[Lease], float | None]]:
            return self._claim(me, names, limit, ttl, claims)

        leases, _ = yield from claim()
        if leases or wait <= 0:
            return leases
        deadline = self._clock.monotonic() + wait
        listener = yield Listen(self._bells(names))
        try:
            while True:
                leases, due = yield from claim()
                left = deadline - self._clock.monotonic()
                if leases or left <= 0:
                    return leases
                yield Wait(listener, min(left, _LONGEST_WAIT if due is None else due))
        finally:
            listener.close()

    def _claim(
        self,
        me: Me,
        queues: list[str],
        limit: int,
        ttl: float,
        claims: list[tuple[str, int]],
    ) -> Plan[tuple[list[Lease], float | None]]:
        """Leases that may run now, and the seconds until there may be more.

        What is early is put off, and the claim goes on: behind it may be what can run.
        """
        kept: list[Lease] = []
        while True:
            me.claims += 1
            number = me.claims
            claims.append((me.id, number))
            doubtful = tuple(me.doubtful)
            leases: list[Lease] | None = None
            try:
                reply = yield self._claiming(
                    me, queues, limit - len(kept), ttl, claim=number, doubtful=doubtful
                )
                me.doubtful = [other for other in me.doubtful if other not in doubtful]
                ends, revoked, due, wrong, *found = reply
                kept = [x for x in kept if x.until > float(ends) - ttl]  # held up, they ran out
                leases = self._in_turn(found, float(ends))
                ready = yield from self._ready(leases, any_revoked=bool(revoked))
            except (Unavailable, Uncertain, GeneratorExit) as error:
                if leases is not None or not isinstance(error, Unavailable):
                    me.doubtful.append(number)  # what it got the next one gives back
                if kept and not isinstance(error, GeneratorExit):
                    return kept, None
                raise
            kept += ready
            if len(ready) < len(leases) and len(kept) < limit:
                continue
            leases = kept
            if len(leases) < limit:
                self.engine.looked()
            if wrong and not leases:
                raise BrokerError(
                    f"the Redis key {wrong[0].decode('utf-8', 'replace')!r} holds no list, so the "
                    "queue of that name cannot be: rename either"
                )
            return leases, float(due) if due else None

    def _ready(self, leases: list[Lease], *, any_revoked: bool) -> Plan[list[Lease]]:
        """Those that may run now; the others are put off."""
        now = self._clock.wall()  # one moment for both: what is parked is not given out, too
        early = [x for x in leases if x.message.ready_at > now]
        ready = [x for x in leases if x.message.ready_at <= now] if early else leases
        if early:
            yield from self._settling([_parking(x) for x in early])
        return (yield from self._marked(ready)) if any_revoked and ready else ready

    def _claiming(
        self,
        me: Me,
        queues: list[str],
        limit: int,
        ttl: float,
        *,
        claim: int,
        doubtful: tuple[int, ...],
    ) -> Exchange:
        repeated = 0

        def run(batch: Batch) -> Pending:
            nonlocal repeated
            for other in doubtful:
                given_up = (self.engine.prefix, self._now, me.id, other)
                batch.call("EVAL", _UNCLAIM.source, 0, *given_up)  # in full: it never has to wait
            said = me.said() if me.is_silent else ""
            words = (me.id, said, claim, repeated, limit, repr(float(ttl)), *queues)
            repeated = 1
            return self._script(batch, _CLAIM, *words)

        return Exchange("lease", run)

    def _in_turn(self, found: list[Any], ends: float) -> list[Lease]:
        """One of each queue after the other."""
        parts: dict[bytes, list[Lease]] = {}
        for place in range(0, len(found), 5):
            one = raws.lease(found[place : place + 5], ends)
            parts.setdefault(found[place + 1], []).append(one)
        if len(parts) == 1:
            return next(iter(parts.values()))
        return [x for x in chain.from_iterable(zip_longest(*parts.values())) if x is not None]

    def _marked(self, leases: list[Lease]) -> Plan[list[Lease]]:
        """The same, with a mark at those whose id was revoked."""
        ids = [lease.message.id for lease in leases]
        scores = yield Exchange(
            "revoked", lambda batch: batch.call("ZMSCORE", self._own("revoked"), *ids), writes=False
        )
        now = self._clock.wall()
        return [
            replace(lease, revoked=True) if score is not None and float(score) > now else lease
            for lease, score in zip(leases, scores, strict=True)
        ]

    # --- settling ------------------------------------------------------------------------

    def _extend(self, leases: Sequence[Lease], ttl: float) -> Plan[list[Lease]]:
        kept: list[Lease] = []
        for start in range(0, len(leases), _PUSHES):
            part = leases[start : start + _PUSHES]
            words = [repr(float(ttl)), *(lease.fence for lease in part)]
            ends, *there = yield self._running("extend", _EXTEND, words)
            until = float(ends)
            kept += [
                replace(lease, until=until) for lease, is_there in zip(part, there, strict=True)
                if is_there
            ]  # fmt: skip
        return kept

    def _settle(self, settlements: Sequence[Settlement]) -> Plan[list[Settlement]]:
        return self._settling(list(settlements))

    def _settling(self, settlements: list[Settlement]) -> Plan[list[Settlement]]:
        lost: list[Settlement] = []
        for start in range(0, len(settlements), _PUSHES):
            part = settlements[start : start + _PUSHES]
            words = [word for settlement in part for word in self._words(settlement)]
            databases = [self.engine.database, self._results_database]
            places = yield self._running("settle", _SETTLE, databases + words)
            lost += [part[place] for place in places]
        return lost

    @property
    def _results_database(self) -> int:
        return self.engine.database if self._store is None else int(self._store.database)

    def _words(self, settlement: Settlement) -> tuple[Any, ...]:
        lease, record = settlement.lease, settlement.record
        if isinstance(settlement, Done):
            if record is None:
                return (lease.fence, "d", 0)
            return (lease.fence, "d", 1, *as_words(record, self._clock.wall()))
        if isinstance(settlement, Again):
            kind, *more = _again(settlement)
        else:
            kind = "x"
            more = ["", "", "", "", "", lease.message.key, self._dead_head(settlement)]
        said = () if record is None else as_words(record, self._clock.wall())
        return (lease.fence, kind, 1 if said else 0, *more, *said)

    def __repr__(self) -> str:
        return f"RedisBroker({str(self.engine.url)!r})"


def _again(settlement: Again) -> tuple[Any, ...]:
    lease, message = settlement.lease, settlement.message
    step, at = raws.step_of(message.priority), repr(float(max(settlement.at, 0.0)))
    if message.key != lease.message.key:
        moment = repr(float(max(settlement.at, message.ready_at)))
        return ("n", message.queue, step, moment, "", raws.write(message), "", "")
    raw: bytes | str = "" if message == lease.message else raws.write(message)
    name = f"{message.key} {message.queue}"
    return ("b", message.queue, step, at, lease.attempt, raw, name, "")


def _parking(lease: Lease) -> Settlement:
    """An early message goes to the delayed ones; it was not tried."""
    untried = replace(lease, attempt=lease.attempt - 1)
    return Again(untried, lease.message, lease.message.ready_at)
