"""How a push server wakes somebody who pulls: a consumer that takes one message, and is gone.

Claims take what they want with ``basic.get``, so that nothing lies at a client that nobody asked
for. While somebody listens and a claim found less than it wanted, a consumer with a prefetch of 1
waits at the queue. What it gets rings the bell, and is the first of the next claim.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.engines.amqp_live import Live

__all__ = ["Delivery", "Doorbells"]

_CHANNEL = "custody"
_STILL = 0.005  # seconds in which a server gives what it has


class Delivery(msgspec.Struct, frozen=True):
    """A message that the server has given to this connection."""

    source: str  # the queue it came from
    tag: int
    redelivered: bool
    message: Any
    at: float  # monotonic


class Doorbells:
    """The consumers of one connection; kept by its :class:`Live`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._armed: dict[str, float] = {}  # queue -> since when (monotonic)
        self.hung_still = False  # the bell that rang last, before it did
        self.alone = 0  # so many rings more are taken for single messages
        self._names: dict[str, str] = {}  # queue -> consumer tag
        self._there: dict[str, deque[Delivery]] = {}
        self._prefetch: Any = None  # the channel on which it was said
        self.unacked: dict[int, None] = {}  # tags of all that was delivered, in their order
        self.ring: Any = None  # called with the name of a queue

    @property
    def channel(self) -> Any:
        """The one on which everything is claimed and acknowledged."""
        return self._live.channel(_CHANNEL)

    def arm(self, queue: str) -> None:
        """Have the bell rung by the next message of a queue."""
        if queue in self._armed or self._there.get(queue):
            return
        channel = self.channel
        if self._prefetch is not channel:
            channel.basic_qos(0, 1, False)
            self._prefetch = channel
        name = self._names.setdefault(queue, f"bell-{len(self._names)}")
        self._armed[queue] = time.monotonic()
        channel.basic_consume(
            queue,
            name,
            nowait=True,
            callback=lambda message: self._on_message(queue, message),
            on_cancel=lambda _: self._armed.pop(queue, None),
        )

    def disarm(self) -> None:
        """Take no more: there is no room here, and others may have some."""
        for queue in list(self._armed):
            self._cancel(queue)

    def _cancel(self, queue: str) -> None:
        self._armed.pop(queue, None)
        self.channel.basic_cancel(self._names[queue], nowait=True)

    def retire(self, queues: Sequence[str]) -> list[Delivery]:
        """Let these bells ring no more; what they were rung by is the caller's now."""
        armed = [queue for queue in queues if queue in self._armed]
        for queue in armed:
            self._cancel(queue)
        if armed:
            self.settle()
        return [one for queue in queues for one in self._there.pop(queue, ())]

    def settle(self) -> None:
        """Wait until the server has read what was said so far, and we what it said to that."""
        self.channel.basic_qos(0, 1, False)

    def _on_message(self, queue: str, message: Any) -> None:
        self.keep(queue, message)
        armed_at = self._armed.get(queue, math.inf)
        self.hung_still = time.monotonic() - armed_at > _STILL
        if queue in self._armed:
            self._cancel(queue)
        if self.ring is not None:
            self.ring(queue)

    def keep(self, queue: str, message: Any) -> None:
        """Have it claimed next."""
        info = message.delivery_info
        self.unacked[info["delivery_tag"]] = None
        one = Delivery(
            queue, info["delivery_tag"], bool(info["redelivered"]), message, time.monotonic()
        )
        self._there.setdefault(queue, deque()).append(one)

    def take(self, queue: str) -> Delivery | None:
        """What the bell of this queue was rung by."""
        there = self._there.get(queue)
        return there.popleft() if there else None

    def overdue(self, age: float) -> list[Delivery]:
        """What nobody has claimed for ``age`` seconds; it is the caller's now."""
        limit = time.monotonic() - age
        found = []
        for there in self._there.values():
            while there and there[0].at <= limit:
                found.append(there.popleft())
        return found

    def oldest(self) -> float | None:
        """When the oldest of them came (monotonic)."""
        return min((there[0].at for there in self._there.values() if there), default=None)
