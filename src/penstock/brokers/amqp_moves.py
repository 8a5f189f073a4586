"""Moving a message on RabbitMQ: publish it where it goes, be sure of it, acknowledge it here.

A message is never handed back by ``nack``: a quorum queue would count that as a delivery, a classic
queue would count nothing. A crash between confirm and acknowledgement leaves two of it, which are
one publication: who gets the second finds its result in the store.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from penstock.brokers.amqp_boot import Boot
from penstock.brokers.amqp_delays import rung
from penstock.brokers.amqp_doorbell import Delivery
from penstock.brokers.amqp_holdings import Held, Holdings
from penstock.brokers.amqp_publish import Outbox, Parcel
from penstock.brokers.amqp_queues import (
    DEAD_QUEUE,
    HELD_EXCHANGE,
    back_of,
)
from penstock.brokers.amqp_wire import HELD, Burial, Counts, died_with_it, read, write
from penstock.engines.amqp import Out
from penstock.engines.amqp_limit import Limit
from penstock.engines.amqp_live import Live
from penstock.errors import PenstockError
from penstock.message import Message
from penstock.plan import Exchange, Plan

__all__ = [
    "MOVING",
    "PATIENCE",
    "Move",
    "Unmoved",
    "is_keyed",
    "parcel",
    "read_delivery",
    "sending",
    "shifting",
]

PATIENCE = 5.0  # seconds for a server that does nothing
MOVING = 1.0  # the same for who holds, before anything is sent: it can be done later


class Move(msgspec.Struct, frozen=True):
    """A delivery that is to be acknowledged, and the message that takes its place."""

    epoch: int  # of the connection that it was delivered by
    tag: int
    parcel: Parcel


def parcel(
    message: Message,
    now: float,
    *,
    queue: str | None = None,
    counts: Counts | None = None,
) -> Parcel:
    """A message on its way to its queue (or another), by way of a delay where it is early."""
    left = message.ready_at - now
    target = message.queue if queue is None else queue
    if left <= 0:
        return Parcel(message.id, target, write(message, counts=counts))
    counts = replace(counts or Counts(message.key), ready=message.ready_at)
    return Parcel(message.id, target, write(message, counts=counts), delay=rung(left))


def buried(message: Message, reason: str, attempts: int, now: float) -> Parcel:
    """A message on its way to the dead letters."""
    burial = Burial(message.queue, message.key, reason, attempts, now)
    return Parcel(message.id, DEAD_QUEUE, write(message, burial=burial))


def held_longer(held: Held, holder: str) -> Parcel:
    """The copy by which a message is held on; it goes home when its holder dies."""
    died = Counts(held.message.key, held.counts.attempts + 1, held.counts.deaths + 1)
    message = replace(held.message, ready_at=0.0)
    body = write(message, counts=died, extra={HELD: holder})
    return Parcel(message.id, back_of(message.queue), body, HELD_EXCHANGE)


def queue_of(source: str) -> str:
    """The queue for which a message came from ``source``."""
    return source.removeprefix(back_of(""))


def read_delivery(live: Live, delivery: Delivery) -> tuple[Message, Counts]:
    """The message and its past; the server's flag may tell of a holder that died."""
    message, counts = read(delivery.message, queue_of(delivery.source))
    if delivery.redelivered:
        deaths = counts.deaths + died_with_it(delivery.message, live.kept(Boot).seen())
        counts = Counts(message.key, counts.attempts + 1, deaths, counts.ready)
    return message, counts


def is_keyed(delivery: Delivery) -> bool:
    """False for what came without a key: the same name may have been sent a second time."""
    return bool(delivery.message.properties.get("message_id"))


def returned(live: Live, delivery: Delivery, now: float) -> Move:
    """A delivery on its way back to the head of its queue, or to its delay."""
    message, counts = read_delivery(live, delivery)
    early = message.ready_at > now and not delivery.redelivered
    queue = message.queue if early else back_of(message.queue)
    return Move(live.epoch, delivery.tag, parcel(message, now, queue=queue, counts=counts))


def sending(
    parcels: Sequence[Parcel], patience: float = PATIENCE, *, before: float | None = None
) -> Out:
    """The exchange that stores these."""
    limit = Limit(patience, before=before)

    def run(live: Live) -> None:
        live.kept(Outbox).send(parcels, limit)

    return Out(
        "publish", run, limit=limit, fits=lambda live: live.kept(Outbox).is_ready_for(parcels)
    )


def acknowledging(moves: Sequence[Move]) -> Exchange:
    """The exchange that acknowledges what was moved, so far as it is still ours."""

    def run(live: Live) -> None:
        live.kept(Holdings).acknowledge(x.tag for x in moves if x.epoch == live.epoch)

    return Exchange("acknowledge", run)


def shifting(moves: Sequence[Move]) -> Plan[None]:
    """Move what nobody holds. What cannot be moved now is kept, and moved with the next of them.

    It is not rejected: a quorum queue counts that, and drops what it has counted too often.
    """
    if not moves:
        return
    try:
        yield sending([move.parcel for move in moves], before=MOVING)
    except PenstockError:
        yield Exchange("keep", lambda live: live.kept(Unmoved).keep(moves))
        raise
    yield acknowledging(moves)


class Unmoved:
    """Moves that failed; kept by the :class:`Live` whose deliveries they are."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._moves: list[Move] = []

    def keep(self, moves: Sequence[Move]) -> None:
        """Have them tried again, so far as they are still ours."""
        unacked = self._live.kept(Holdings).bells.unacked
        self._moves += [x for x in moves if x.epoch == self._live.epoch and x.tag in unacked]

    def take(self) -> list[Move]:
        """Those to be tried now; they are the caller's."""
        moves, self._moves = self._moves, []
        return moves
