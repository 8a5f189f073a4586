"""How long somebody waits for a server that does nothing, and what it means that the wait ended."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from penstock.errors import Unavailable, Uncertain

__all__ = ["Limit", "check_late", "end_of", "reply_within"]

V = TypeVar("V")
_GRACE = 0.2  # seconds for the owner of the connection to say more exactly what is the matter


class Limit:
    """Seconds without any progress; a large batch may take longer as long as it gets on.

    ``before`` may be less: so long a server is waited for that is known to take nothing.
    """

    def __init__(self, seconds: float, *, before: float | None = None) -> None:
        self.seconds = max(0.0, seconds)
        now = time.monotonic()
        self._ends = now + self.seconds
        self._ends_before = self._ends if before is None else now + before

    @property
    def left(self) -> float:
        """Seconds; not above 0 when it is over."""
        return self._ends - time.monotonic()

    @property
    def left_before(self) -> float:
        """The same for a server that takes nothing."""
        return min(self._ends, self._ends_before) - time.monotonic()

    def moved(self) -> None:
        """The server has done something: it has that long again."""
        self._ends = time.monotonic() + self.seconds

    def __repr__(self) -> str:
        return f"Limit({self.seconds:g}, left={self.left:.1f})"


def end_of(limit: Limit | None) -> float | None:
    """Seconds until whoever waits for a reply looks whether the limit is over."""
    return None if limit is None else max(0.0, limit.left) + _GRACE


def reply_within(future: Future[V], limit: Limit | None, where: object) -> V:
    """What a job gives; raises Unavailable, or Uncertain where it was begun in time."""
    if limit is None or future.done():
        return future.result()
    while True:
        if wait((future,), end_of(limit)).done:
            return future.result()
        check_late(future, limit, where)


def check_late(future: Future[Any], limit: Limit | None, where: object) -> None:
    """After a wait: raises what its end means, or returns where it is to be waited for again."""
    if future.done() or limit is None or limit.left > 0:
        return
    if future.cancel():
        raise Unavailable(
            f"RabbitMQ at {where} has not been ready within {limit.seconds:g} s; nothing was sent"
        )
    if not future.done():
        raise Uncertain(
            f"RabbitMQ at {where} has not answered within {limit.seconds:g} s; what was sent is "
            "stored if it does"
        )
