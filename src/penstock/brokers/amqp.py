"""The broker on a RabbitMQ server, in Celery's queues and messages.

A lease is a delivery that is not acknowledged. It is the client's clock that ends it in time, and
the server that ends it with its connection. What comes back goes to a queue of ours that is looked
at first; what must not run yet waits in queues with a time to live.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar

from msgspec.structs import replace

from penstock import telemetry
from penstock.brokers.amqp_claims import take, take_what_rang
from penstock.brokers.amqp_delays import Delays
from penstock.brokers.amqp_holdings import Held, Holdings
from penstock.brokers.amqp_listening import AmqpListening
from penstock.brokers.amqp_long import holding_on, needs_holding
from penstock.brokers.amqp_moves import (
    MOVING,
    PATIENCE,
    Move,
    Unmoved,
    acknowledging,
    buried,
    is_keyed,
    parcel,
    read_delivery,
    returned,
    sending,
    shifting,
)
from penstock.brokers.amqp_queues import back_of
from penstock.brokers.amqp_talk import AmqpTalk
from penstock.brokers.amqp_wire import Counts
from penstock.brokers.base import Broker, Capabilities, QueueShapes
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.amqp import AmqpServer, number
from penstock.engines.amqp_live import Live
from penstock.errors import PenstockError, Unavailable, Uncertain
from penstock.message import Again, Dead, Done, Lease, Message, Settlement, new_id
from penstock.plan import Exchange, Plan, Wait, adrive, drive
from penstock.url import Url

__all__ = ["AmqpBroker"]

_LONGEST_WAIT = 30.0  # seconds: look again after so long, should anything be lost
_UNCLAIMED = 0.02  # seconds: what rang a bell and was not claimed goes to somebody else
_REMEMBERED = 10_000  # settled leases: settling one again is no loss
_CONSUMER_TIMEOUT = 1_800.0  # seconds: the server's own default


class AmqpBroker(AmqpListening):
    """Custody on a server that Celery's processes may share."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        durable="what is acknowledged outlives the death of every process and of the server; a "
        "quorum queue outlives its disk where a majority has it",
        priorities=False,
        repeatable=False,
        transferable=False,
        exact_depth=False,
        peeks=False,
        revokes=False,
        lists_workers=False,
        hears_before_listening=False,
        sees_delayed=False,
        rings_for_each=False,
        settles_surely=False,
    )

    def __init__(self, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> None:
        engine = AmqpServer(url, lost=self._on_loss, beat=self._on_beat, beat_out=self._on_beat_out)
        super().__init__(engine, clock)
        self._hold_after = number(url, "consumer_timeout", _CONSUMER_TIMEOUT) / 2
        self._holder = new_id()
        self._tokens = itertools.count(1)
        self._settled: dict[int, None] = {}  # fences; touched by the owner of the connection

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> AmqpBroker:
        """The broker at ``amqp://user:password@host/vhost``."""
        return cls(url, clock=clock)

    def shape_queues(self, shapes: QueueShapes) -> None:
        self.engine.arguments_of = shapes.of
        self._celery_delays = shapes.has_quorum()

    def close(self) -> None:
        try:
            if self.engine.is_used:
                with suppress(PenstockError):
                    drive(self._leaving(), self.engine)
        finally:
            self.engine.close()

    def _leaving(self) -> Plan[None]:
        """Hand back what was delivered and not claimed; what is leased the server gives out."""
        yield from shifting((yield Exchange("leave", self._unclaimed_by(0.0))))

    def describe(self) -> str:
        return str(self.engine.url)

    @cached_property
    def talk(self) -> AmqpTalk:
        return AmqpTalk(self.engine)

    # --- publishing ----------------------------------------------------------------------

    def _publish(self, messages: Sequence[Message], patience: float = PATIENCE) -> Exchange:
        now = self._clock.wall()
        return sending([parcel(message, now) for message in messages], patience)

    def publish_in(self, messages: Sequence[Message], seconds: float) -> None:
        if messages:
            drive(self._publish(messages, seconds), self.engine)
            telemetry.emit("broker.publish", count=len(messages))

    async def apublish_in(self, messages: Sequence[Message], seconds: float) -> None:
        if messages:
            await adrive(self._publish(messages, seconds), self.engine)
            telemetry.emit("broker.publish", count=len(messages))

    # --- claiming ------------------------------------------------------------------------

    def _lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float
    ) -> Plan[list[Lease]]:
        return self._leasing(queues, limit, ttl, wait, next(self._tokens))

    def lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        token = next(self._tokens)
        try:
            return drive(self._leasing(queues, limit, ttl, wait, token), self.engine)
        except BaseException as error:  # Ctrl-C, say; see alease
            if not isinstance(error, PenstockError):
                self._in_background(self._unclaiming(token))
            raise

    async def alease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        import asyncio

        token = next(self._tokens)
        try:
            return await adrive(self._leasing(queues, limit, ttl, wait, token), self.engine)
        except asyncio.CancelledError:  # what it claims, or has claimed, nobody would work on
            self._in_background(self._unclaiming(token))
            raise

    def _leasing(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float, token: int
    ) -> Plan[list[Lease]]:
        names = list(dict.fromkeys(queues))
        if limit <= 0 or not names:
            return []
        leases, _ = yield from self._claiming(names, limit, ttl, token)
        if leases or wait <= 0:
            return leases
        deadline = self._clock.monotonic() + wait
        listener = self._hear(names)
        try:
            while True:
                leases, due = yield from self._claiming(names, limit, ttl, token)
                left = deadline - self._clock.monotonic()
                if leases or left <= 0:
                    break
                yield Wait(listener, min(left, _LONGEST_WAIT if due is None else due))
        finally:
            listener.close()
        return leases

    def _claiming(
        self, names: list[str], limit: int, ttl: float, token: int, *, quick: bool = False
    ) -> Plan[tuple[list[Lease], float | None]]:
        """Leases that may run now, and the seconds until one of ours ends."""
        while True:
            leases, moves, due = yield Exchange(
                "lease", lambda live: self._claim(live, names, limit, ttl, token, quick=quick)
            )
            yield from self._making_room(moves, leases)
            if leases or not moves:
                return leases, due

    def _making_room(self, moves: list[Move], leases: list[Lease]) -> Plan[None]:
        """Move what cannot run now; where that fails, what can run is given out all the same."""
        try:
            yield from shifting(moves)
        except (Unavailable, Uncertain):
            if not leases:
                raise

    def _claim(
        self,
        live: Live,
        names: list[str],
        limit: int,
        ttl: float,
        token: int,
        *,
        quick: bool = False,
    ) -> tuple[list[Lease], list[Move], float | None]:
        holdings = live.kept(Holdings)
        holdings.bells.ring = self._ring
        now, wall = self._clock.monotonic(), self._clock.wall()
        moves = self._run_out(live, now, wall)
        if moves:  # first they go back, then they may be claimed again
            return [], moves, None
        rung = take_what_rang(live, names, limit) if quick else []
        deliveries = rung or take(live, names, limit)
        claimed: list[Held] = []
        twins: list[int] = []  # tags
        keys = holdings.keys()
        for delivery in deliveries:
            message, counts = read_delivery(live, delivery)
            if message.key in keys and is_keyed(delivery):
                twins.append(delivery.tag)
            elif delivery.redelivered or message.ready_at > wall:
                moves.append(returned(live, delivery, wall))
            else:
                claimed.append(holdings.hold(delivery, message, counts, now + ttl))
                keys.add(message.key)
        holdings.acknowledge(twins)
        if len(claimed) < limit:  # what is to be moved makes room: somebody has to look again
            self._arm(live, names, limit - len(claimed))
        else:
            holdings.bells.disarm()
        holdings.claims = {token: [held.fence for held in claimed]}
        end = holdings.next_end()
        leases = [holdings.lease_of(held) for held in claimed]
        return leases, moves, None if end is None else max(0.0, end - now)

    def _unclaiming(self, token: int) -> Plan[None]:
        def unclaim(live: Live) -> list[Move]:
            holdings = live.kept(Holdings)
            fences = holdings.claims.pop(token, [])
            held = [holdings.by_fence[x] for x in fences if x in holdings.by_fence]
            wall = self._clock.wall()
            return [self._back(live, one, wall) for one in holdings.let_go(held)]

        yield from shifting((yield Exchange("unclaim", unclaim)))

    def _back(self, live: Live, held: Held, wall: float, *, deaths: int = 0) -> Move:
        counts = held.counts
        past = Counts(counts.key, counts.attempts + deaths, counts.deaths + deaths)
        message = held.message
        return Move(
            live.epoch, held.tag, parcel(message, wall, queue=back_of(message.queue), counts=past)
        )

    # --- settling ------------------------------------------------------------------------

    def _settle(self, settlements: Sequence[Settlement]) -> Plan[list[Settlement]]:
        lost, others, moves = yield Exchange("settle", lambda live: self._end(live, settlements))
        if moves:
            yield sending([move.parcel for move in moves], before=MOVING)
            yield Exchange("settled", lambda live: self._moved(live, others, moves))
        return lost  # type: ignore[no-any-return]

    def settle_and_lease(
        self, settlements: Sequence[Settlement], queues: Sequence[str], limit: int, ttl: float
    ) -> tuple[list[Settlement], list[Lease]]:
        names = list(dict.fromkeys(queues))
        only_done = all(isinstance(x, Done) for x in settlements)
        if not only_done:
            return Broker.settle_and_lease(self, settlements, queues, limit, ttl)
        if not (names and limit > 0):
            lost = drive(self._acknowledging(settlements), self.engine) if settlements else []
            return lost, []
        if not settlements:
            return [], drive(self._answering(names, limit, ttl), self.engine)
        return drive(self._trading(settlements, names, limit, ttl), self.engine)

    def _answering(self, names: list[str], limit: int, ttl: float) -> Plan[list[Lease]]:
        """Claim for who was idle: what rang comes at once; what is behind it rings again."""
        token = next(self._tokens)
        leases, _ = yield from self._claiming(names, limit, ttl, token, quick=True)
        return leases

    def _acknowledging(self, settlements: Sequence[Settlement]) -> Plan[list[Settlement]]:
        """Settle for who goes on: what comes later proves that the server has read the acks."""

        def acknowledge(live: Live) -> list[Settlement]:
            lost, _, _ = self._end(live, settlements, sure=False)
            self._remember(settlements)
            return lost

        lost = yield Exchange("settle", acknowledge)
        return lost  # type: ignore[no-any-return]

    def _trading(
        self, settlements: Sequence[Settlement], names: list[str], limit: int, ttl: float
    ) -> Plan[tuple[list[Settlement], list[Lease]]]:
        """Settle and claim: the answers to the claim prove that the server has read the acks."""
        token = next(self._tokens)

        def trade(live: Live) -> Any:
            lost, _, _ = self._end(live, settlements, sure=False)
            claimed = self._claim(live, names, limit, ttl, token)
            self._remember(settlements)
            return lost, *claimed

        lost, leases, moves, _ = yield Exchange("trade", trade)
        yield from self._making_room(moves, leases)
        if moves and not leases:
            leases, _ = yield from self._claiming(names, limit, ttl, token)
        return lost, leases

    def _end(
        self, live: Live, settlements: Sequence[Settlement], *, sure: bool = True
    ) -> tuple[list[Settlement], list[Settlement], list[Move]]:
        """Acknowledge what is done; gives what was lost, and what goes elsewhere."""
        holdings = live.kept(Holdings)
        wall = self._clock.wall()
        lost: list[Settlement] = []
        done: list[Settlement] = []
        others: list[Settlement] = []
        tags: list[int] = []
        moves: list[Move] = []
        for settlement in settlements:
            held = holdings.by_fence.get(settlement.lease.fence)
            if held is None:
                if settlement.lease.fence not in self._settled or _is_handed_back(settlement):
                    lost.append(settlement)
            elif isinstance(settlement, Done):
                done.append(settlement)
                tags.append(held.tag)
                del holdings.by_fence[held.fence]
            else:
                held.copied = True
                others.append(settlement)
                moves.append(Move(live.epoch, held.tag, self._elsewhere(settlement, wall)))
        moves.sort(key=lambda move: move.tag)  # what goes back does so in the order it came
        holdings.acknowledge(tags)
        if sure and tags:  # an acknowledgement has no answer; what is read after it has one
            holdings.bells.settle()
            self._remember(done)
        return lost, others, moves

    def _elsewhere(self, settlement: Settlement, wall: float) -> Any:
        lease = settlement.lease
        if isinstance(settlement, Dead):
            return buried(lease.message, settlement.reason, lease.attempt, wall)
        assert isinstance(settlement, Again)  # noqa: S101 - there are three kinds
        message = settlement.message
        if not _is_handed_back(settlement):
            if settlement.at > message.ready_at:
                message = replace(message, ready_at=settlement.at)
            return parcel(message, wall)
        message = replace(message, ready_at=settlement.at)
        counts = Counts(message.key, lease.attempt, lease.deaths)
        return parcel(message, wall, queue=back_of(message.queue), counts=counts)

    def _moved(self, live: Live, settlements: Sequence[Settlement], moves: Sequence[Move]) -> None:
        holdings = live.kept(Holdings)
        acknowledging(moves).run(live)
        for settlement in settlements:
            holdings.by_fence.pop(settlement.lease.fence, None)
        holdings.bells.settle()
        self._remember([x for x in settlements if not _is_handed_back(x)])

    def _remember(self, settlements: Sequence[Settlement]) -> None:
        self._settled.update((x.lease.fence, None) for x in settlements)
        while len(self._settled) > _REMEMBERED:
            del self._settled[next(iter(self._settled))]

    # --- upkeep --------------------------------------------------------------------------

    def _extend(self, leases: Sequence[Lease], ttl: float) -> Plan[list[Lease]]:
        def extend(live: Live) -> tuple[list[Lease], list[Held]]:
            holdings = live.kept(Holdings)
            now = self._clock.monotonic()
            kept = []
            for lease in leases:
                held = holdings.by_fence.get(lease.fence)
                if held is not None and held.until > now:
                    held.until = now + ttl
                    kept.append(replace(lease, until=held.until))
            return kept, needs_holding(holdings, self._hold_after / 4)

        kept, old = yield Exchange("extend", extend)
        if old:
            lost = yield from holding_on(old, self._holder, self._hold_after)
            kept = [lease for lease in kept if lease.fence not in lost]
        return kept  # type: ignore[no-any-return]

    def _run_out(self, live: Live, now: float, wall: float) -> list[Move]:
        """Leases of ours whose time is over go back: whoever holds them has forgotten them.

        So does what could not go back before.
        """
        ended = live.kept(Holdings).run_out(now)
        back = [self._back(live, held, wall, deaths=1) for held in ended]
        return live.kept(Unmoved).take() + back

    def _on_beat(self, live: Live) -> None:
        """Leases end although their holder does nothing more; told by the connection's owner."""
        if live.has(Holdings) is None:
            return
        moves = self._run_out(live, self._clock.monotonic(), self._clock.wall())
        if moves:
            self._in_background(shifting(moves))

    def _on_beat_out(self, live: Live) -> None:
        if any(count > 0 for count in list(self._listened.values())):
            live.kept(Delays).look_after()
        delays = live.has(Delays)
        if delays is not None:
            delays.finish()

    def _unclaimed_by(self, age: float) -> Any:
        def unclaimed(live: Live) -> list[Move]:
            bells = live.kept(Holdings).bells
            if age == 0.0:
                bells.cancel_all()
                bells.settle()
            wall = self._clock.wall()
            return [returned(live, one, wall) for one in bells.overdue(age)]

        return unclaimed

    def _tend(self) -> Plan[float | None]:
        def tend(live: Live) -> tuple[list[Move], float | None]:
            holdings = live.kept(Holdings)
            now, wall = self._clock.monotonic(), self._clock.wall()
            moves = self._run_out(live, now, wall) + self._unclaimed_by(_UNCLAIMED)(live)
            ends = []
            if (end := holdings.next_end()) is not None:
                ends.append(end - now)
            if (came := holdings.bells.oldest()) is not None:
                ends.append(came + _UNCLAIMED - time.monotonic())
            return moves, max(0.0, min(ends)) if ends else None

        moves, due = yield Exchange("tend", tend)
        yield from shifting(moves)
        return due  # type: ignore[no-any-return]


def _is_handed_back(settlement: Settlement) -> bool:
    """True where the same publication takes its own place."""
    return isinstance(settlement, Again) and settlement.message.key == settlement.lease.message.key
