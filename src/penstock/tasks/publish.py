"""Publishing with patience: a broker that is down is waited for, but not for long.

There is no hidden buffer: when this returns the messages are stored, and when it raises the error
says whether they may be. *Unavailable* means that nothing was stored; it is only raised when that
is true of every attempt.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from penstock.brokers.base import Broker
from penstock.brokers.patience import Patience
from penstock.clock import Clock
from penstock.errors import Unavailable, Uncertain
from penstock.message import Message

__all__ = ["apublish", "publish"]


def publish(
    broker: Broker,
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
    patience: Patience | None = None
    while True:
        try:
            return broker.publish(messages)
        except (Unavailable, Uncertain) as error:
            patience = patience or _patience(broker, began, timeout, clock)
            wait = patience.pause(error)
        sleep(wait)


async def apublish(
    broker: Broker,
    messages: Sequence[Message],
    *,
    timeout: float,
    clock: Clock,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> None:
    """Awaiting twin of :func:`publish`."""
    began = clock.monotonic()
    patience: Patience | None = None
    while True:
        try:
            return await broker.apublish(messages)
        except (Unavailable, Uncertain) as error:
            patience = patience or _patience(broker, began, timeout, clock)
            wait = patience.pause(error)
        await (sleep or _asyncio_sleep)(wait)


def _patience(broker: Broker, began: float, timeout: float, clock: Clock) -> Patience:
    repeatable = broker.capabilities.repeatable
    return Patience(repeatable=repeatable, began=began, timeout=timeout, clock=clock)


async def _asyncio_sleep(seconds: float) -> None:
    import asyncio  # only where a broker is down: the import is slow

    await asyncio.sleep(seconds)
