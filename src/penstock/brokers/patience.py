"""Patience with a broker that is down: it is waited for, but not for long."""

from __future__ import annotations

import random

from penstock import telemetry
from penstock.clock import Clock
from penstock.errors import Unavailable, Uncertain

__all__ = ["Patience"]

_FIRST_PAUSE = 0.05  # seconds
_LONGEST_PAUSE = 1.0


class Patience:
    """How long to pause after a failed attempt, and what to raise in the end. No I/O.

    ``repeatable`` says whether it may be done twice, so that doubt is no reason to stop;
    ``nothing`` in words what did not happen in case nothing did.
    """

    def __init__(
        self,
        *,
        repeatable: bool,
        began: float,
        timeout: float,
        clock: Clock,
        nothing: str = "nothing was sent",
    ) -> None:
        self._repeatable = repeatable
        self._nothing = nothing
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
        telemetry.emit("broker.retry", error=error, pause=wait)
        return wait

    def _final(self, error: Unavailable | Uncertain) -> Unavailable | Uncertain:
        if self._doubt is not None:
            return self._uncertain(self._doubt)
        return Unavailable(f"{error} (tried for {self._timeout:g} s; {self._nothing})")

    def _uncertain(self, error: Uncertain) -> Uncertain:
        return Uncertain(str(error), stored=tuple(self._stored))
