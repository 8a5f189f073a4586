"""Publishing with patience: a broker that is down is waited for, but not for long.

There is no hidden buffer: when this returns the messages are stored, and when it raises the error
says whether they may be. *Unavailable* means that nothing was stored; it is only raised when that
is true of every attempt.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from penstock.brokers.base import Broker
from penstock.brokers.patience import Patience
from penstock.clock import Clock
from penstock.errors import Unavailable, Uncertain
from penstock.message import Message
from penstock.results.base import ResultStore

__all__ = ["WithAddress", "apublish", "publish"]

_ATTEMPT = 1.0  # seconds


class WithAddress:
    """Publishes by a broker, each message with the address where its results shall go."""

    def __init__(self, broker: Broker, store: ResultStore) -> None:
        self._broker = broker
        self._store = store
        self.capabilities = broker.capabilities

    def publish_in(self, messages: Sequence[Message], seconds: float) -> None:
        ends = time.monotonic() + seconds
        address = self._store.reply_address(seconds)
        left = max(0.0, ends - time.monotonic())
        self._broker.publish_in(_addressed(messages, address), left)

    async def apublish_in(self, messages: Sequence[Message], seconds: float) -> None:
        import asyncio

        ends = time.monotonic() + seconds
        address = await asyncio.to_thread(self._store.reply_address, seconds)
        left = max(0.0, ends - time.monotonic())
        await self._broker.apublish_in(_addressed(messages, address), left)


def _addressed(messages: Sequence[Message], address: str) -> list[Message]:
    """Those that have one keep it: the results of a retry go where those of the first run went."""
    return [
        m
        if m.properties.get("reply_to")
        else replace(m, properties={**m.properties, "reply_to": address})
        for m in messages
    ]


def publish(
    broker: Broker | WithAddress,
    messages: Sequence[Message],
    *,
    timeout: float,
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Store messages, trying for ``timeout`` seconds; raises Unavailable or Uncertain.

    ``Uncertain.stored`` names the ids that are surely stored.
    """
    began = clock.monotonic()
    left = max(_ATTEMPT, timeout)
    patience: Patience | None = None
    while True:
        try:
            return broker.publish_in(messages, left)
        except (Unavailable, Uncertain) as error:
            patience = patience or _patience(broker, began, timeout, clock)
            wait = patience.pause(error)
        sleep(wait)
        left = _left(began, timeout, clock)


async def apublish(
    broker: Broker | WithAddress,
    messages: Sequence[Message],
    *,
    timeout: float,
    clock: Clock,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> None:
    """Awaiting twin of :func:`publish`."""
    began = clock.monotonic()
    left = max(_ATTEMPT, timeout)
    patience: Patience | None = None
    while True:
        try:
            return await broker.apublish_in(messages, left)
        except (Unavailable, Uncertain) as error:
            patience = patience or _patience(broker, began, timeout, clock)
            wait = patience.pause(error)
        await (sleep or _asyncio_sleep)(wait)
        left = _left(began, timeout, clock)


def _left(began: float, timeout: float, clock: Clock) -> float:
    """Seconds for one attempt: what is left, but enough for a server that is well."""
    return max(_ATTEMPT, began + timeout - clock.monotonic())


def _patience(broker: Broker | WithAddress, began: float, timeout: float, clock: Clock) -> Patience:
    repeatable = broker.capabilities.repeatable
    return Patience(repeatable=repeatable, began=began, timeout=timeout, clock=clock)


async def _asyncio_sleep(seconds: float) -> None:
    import asyncio  # only where a broker is down: the import is slow

    await asyncio.sleep(seconds)
