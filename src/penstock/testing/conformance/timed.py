"""How time passes in a case."""

from __future__ import annotations

import time
from typing import ClassVar

from penstock.clock import ManualClock

__all__ = ["Timed"]


class Timed:
    """A clock that moves when told; a backend that lives by a server's clock is really awaited."""

    tick: ClassVar[float] = 1.0
    """A short time in seconds: leases that end, delays and lifetimes are multiples of it."""

    keeps_own_time: ClassVar[bool] = False
    """True for a backend that takes its time from a server and not from the clock it is given.
    Then the cases really wait, so make ``tick`` small (0.05)."""

    clock: ManualClock

    def pass_time(self, seconds: float) -> None:
        """Let ``seconds`` go by for the backend."""
        self.clock.advance(seconds)
        if self.keeps_own_time:
            time.sleep(seconds)  # a server's clock cannot be moved
