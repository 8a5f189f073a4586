"""How a push server wakes somebody who pulls: a consumer with a small window.

Claims take what they want with ``basic.get``, so that nothing lies at a client that nobody asked
for. While somebody listens and a claim found less than it wanted, a consumer waits at the queue.
What it gets rings the bell, and is the first of the next claim.

The consumer may have as many messages unacknowledged as there was room for, a few at most: its
*window*. While the window is open the server gives whatever comes to the queue, so there is nothing
behind what rang; when it is full, the acknowledgement of what runs opens it again. A worker that
gets one task after the other so says no more to the server than that each is done.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Container, Sequence
from typing import Any

import msgspec

from penstock.engines.amqp_live import Live

__all__ = ["Delivery", "Doorbells"]

_CHANNEL = "custody"
_WIDEST = 8  # messages: what lies here while their claimer is at something else


class Delivery(msgspec.Struct, frozen=True):
    """A message that the server has given to this connection."""

    source: str  # the queue it came from
    tag: int
    redelivered: bool
    message: Any
    at: float  # monotonic


class _Window:
    """What one consumer may have and has."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.tags: list[int] = []  # of what it was given; those acknowledged go in time

    def is_open(self, unacked: Container[int]) -> bool:
        if len(self.tags) < self.size:
            return True
        self.tags = [tag for tag in self.tags if tag in unacked]
        return len(self.tags) < self.size


class Doorbells:
    """The consumers of one connection; kept by its :class:`Live`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._windows: dict[str, _Window] = {}  # by queue
        self._names: dict[str, str] = {}  # queue -> consumer tag
        self._there: dict[str, deque[Delivery]] = {}
        self._prefetch = 1  # what consumers are made with now
        self._told: Any = None  # the channel that was told so
        self.unacked: dict[int, None] = {}  # tags of all that was delivered, in their order
        self.ring: Any = None  # called with the name of a queue

    @property
    def channel(self) -> Any:
        """The one on which everything is claimed and acknowledged."""
        return self._live.channel(_CHANNEL)

    def is_open(self, queue: str) -> bool:
        """True while the server gives us all that comes to a queue, with nothing left behind."""
        window = self._windows.get(queue)
        return window is not None and window.is_open(self.unacked)

    def arm(self, queue: str, room: int) -> None:
        """Have the bell rung by what comes next to a queue, with room for so many messages."""
        if self._there.get(queue) or self.is_open(queue):
            return
        if queue in self._windows:  # full, of what runs still: a new window has its own count
            self._cancel(queue)
        size = min(room, _WIDEST)
        channel = self.channel
        if self._told is not channel or self._prefetch != size:
            self._prefetch = size
            self.settle()
            self._told = channel
        name = self._names.setdefault(queue, f"bell-{len(self._names)}")
        self._windows[queue] = _Window(size)
        channel.basic_consume(
            queue,
            name,
            nowait=True,
            callback=lambda message: self._on_message(queue, message),
            on_cancel=lambda _: self._windows.pop(queue, None),
        )

    def disarm(self) -> None:
        """Take no more: there is no room here, and others may have some.

        Full windows stay: they open again as what runs is done, which makes room.
        """
        for queue in [queue for queue in self._windows if self.is_open(queue)]:
            self._cancel(queue)

    def cancel_all(self) -> None:
        """Take no more, whatever is done."""
        for queue in list(self._windows):
            self._cancel(queue)

    def _cancel(self, queue: str) -> None:
        if self._windows.pop(queue, None) is not None:
            self.channel.basic_cancel(self._names[queue], nowait=True)

    def retire(self, queues: Sequence[str]) -> list[Delivery]:
        """Let these bells ring no more; what they were rung by is the caller's now."""
        armed = [queue for queue in queues if queue in self._windows]
        for queue in armed:
            self._cancel(queue)
        if armed:
            self.settle()
        return [one for queue in queues for one in self._there.pop(queue, ())]

    def settle(self) -> None:
        """Wait until the server has read what was said so far, and we what it said to that."""
        self.channel.basic_qos(0, self._prefetch, False)

    def _on_message(self, queue: str, message: Any) -> None:
        self.keep(queue, message)
        window = self._windows.get(queue)
        if window is not None:
            window.tags.append(message.delivery_info["delivery_tag"])
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
        """What nobody has claimed for ``age`` seconds; it is the caller's now.

        The bells that it rang are taken down, or the server would give it to us again.
        """
        limit = time.monotonic() - age
        found = []
        for there in self._there.values():
            while there and there[0].at <= limit:
                found.append(there.popleft())
        for queue in {one.source for one in found}:
            self._cancel(queue)
        return found

    def oldest(self) -> float | None:
        """When the oldest of them came (monotonic)."""
        return min((there[0].at for there in self._there.values() if there), default=None)
