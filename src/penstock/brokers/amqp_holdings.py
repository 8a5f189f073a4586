"""What one connection holds: a lease is a delivery, and ends with the connection at the latest."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence

import msgspec

from penstock.brokers.amqp_doorbell import Delivery, Doorbells
from penstock.brokers.amqp_wire import Counts
from penstock.engines.amqp_live import Live
from penstock.message import Lease, Message

__all__ = ["Held", "Holdings"]


class Held(msgspec.Struct):
    """One delivery that was leased. Touched only by the thread that owns the connection."""

    fence: int
    tag: int
    source: str  # the queue it came from
    message: Message
    counts: Counts
    until: float  # the broker's monotonic clock
    since: float  # real monotonic time of the delivery
    leaving: bool = False  # it is being published elsewhere, and acknowledged then
    copied: bool = False  # there may be another of it that takes its place


class Holdings:
    """Leases by fence, deliveries by tag; kept by its :class:`Live`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.bells = live.kept(Doorbells)
        self.by_fence: dict[int, Held] = {}
        self._unacked = self.bells.unacked
        self.claims: dict[int, list[int]] = {}  # token of a claim -> its fences
        self.hints: dict[str, int] = {}  # queue -> how many were left in it

    def delivered(self, tag: int) -> None:
        """Note what has to be acknowledged once."""
        self._unacked[tag] = None

    def hold(self, delivery: Delivery, message: Message, counts: Counts, until: float) -> Held:
        """A new lease."""
        fence = next(_fences)
        held = Held(fence, delivery.tag, delivery.source, message, counts, until, delivery.at)
        self.by_fence[fence] = held
        return held

    def keys(self) -> set[str]:
        """Publications that are held for good: another message of one is there twice.

        That is so after a server was killed that had confirmed where it was moved to, and not yet
        kept that it was acknowledged where it came from.
        """
        return {held.message.key for held in self.by_fence.values() if not held.copied}

    def lease_of(self, held: Held) -> Lease:
        """The lease as callers know it."""
        counts = held.counts
        return Lease(
            held.message, counts.attempts + 1, held.until, held.fence, deaths=counts.deaths
        )

    def acknowledge(self, tags: Iterable[int]) -> None:
        """Acknowledge deliveries, with few words where they are the oldest ones."""
        wanted = set(tags)
        wanted.intersection_update(self._unacked)
        if not wanted:
            return
        first = list(itertools.takewhile(wanted.__contains__, self._unacked))
        channel = self.bells.channel
        if first:
            channel.basic_ack(first[-1], multiple=True)
        for tag in first:
            del self._unacked[tag]
        for tag in wanted.difference(first):
            channel.basic_ack(tag)
            del self._unacked[tag]

    def replace_delivery(self, held: Held, delivery: Delivery) -> int:
        """Hold a message by another delivery; gives the tag of the one before."""
        before, held.tag, held.since = held.tag, delivery.tag, delivery.at
        held.copied = False
        self.delivered(delivery.tag)
        return before

    def run_out(self, now: float) -> list[Held]:
        """Leases whose time is over, and which are nobody's from now on."""
        found = [x for x in self.by_fence.values() if x.until <= now and not x.leaving]
        return self.let_go(found)

    def let_go(self, held: Sequence[Held]) -> list[Held]:
        """End these leases; their deliveries are acknowledged once they are elsewhere."""
        for one in held:
            one.leaving = True
            self.by_fence.pop(one.fence, None)
        return list(held)

    def next_end(self) -> float | None:
        """When the next lease ends, by the broker's clock."""
        return min((x.until for x in self.by_fence.values()), default=None)


def _growing() -> Iterable[int]:
    """Fences: higher than any that this machine has given before."""
    last = 0
    while True:
        last = max(last + 1, time.time_ns() // 1000)
        yield last


_fences = iter(_growing())
