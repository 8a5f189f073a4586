"""Publishing with patience: a broker that is down is waited for, but not for long.

There is no hidden buffer: when this returns the messages are stored, and when it raises the error
says whether they may be. *Unavailable* means that nothing was stored; it is only raised when that
is true of every attempt.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence

from penstock import telemetry
from penstock.brokers.base import Broker
from penstock.clock import Clock
from penstock.errors import Unavailable, Uncertain
from penstock.message import Message

__all__ = ["Patience", "apublish", "publish"]

_FIRST_PAUSE = 0.05  # seconds
_LONGEST_PAUSE = 1.0


class Patience:
    """How long to pause after a failed attempt, and what to raise in the end. No I/O."""

    def __init__(self, broker: Broker, *, began: float, timeout: float, clock: Clock) -> None:
        self._repeatable = broker.capabilities.repeatable
        self._clock = clock
        self._deadline = began + timeout
        self._timeout = timeout
        self._ceiling = _FIRST_PAUSE
        self._doubt: Uncertain | None = None  # the last attempt that may have stored something
        self._stored: dict[str, None] = {}

    def pause(self, error: Unavailable | Uncertain) -> float:
        """Seconds to wait before the next attempt; raises when there shall be none."""
        if isinstance(error, Uncertain):
            self._doubt = error
            self._stored |= dict.fromkeys(error.stored)
            if not self._repeatable:
                raise self._uncertain(error) from error
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise self._final(error) from error
        wait = min(left, random.uniform(self._ceiling / 2, self._ceiling))
        self._ceiling = min(_LONGEST_PAUSE, self._ceiling * 2)
        telemetry.emit("tasks.publish_retry", error=error, pause=wait)
        return wait

    def _final(self, error: Unavailable | Uncertain) -> Unavailable | Uncertain:
        if self._doubt is not None:
            return self._uncertain(self._doubt)
        return Unavailable(f"{error} (tried for {self._timeout:g} s; nothing was sent)")

    def _uncertain(self, error: Uncertain) -> Uncertain:
        return Uncertain(str(error), stored=tuple(self._stored))


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
            patience = patience or Patience(broker, began=began, timeout=timeout, clock=clock)
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
            patience = patience or Patience(broker, began=began, timeout=timeout, clock=clock)
            wait = patience.pause(error)
        await (sleep or _asyncio_sleep)(wait)


async def _asyncio_sleep(seconds: float) -> None:
    import asyncio  # only where a broker is down: the import is slow

    await asyncio.sleep(seconds)
