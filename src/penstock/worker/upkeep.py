"""When the broker is tended, and when the worker looks there for work that no bell told of."""

from __future__ import annotations

import math

__all__ = ["Upkeep"]

_AT_LEAST_EVERY, _AT_MOST_EVERY = 1.0, 0.001  # seconds
_LOOK_AT_LEAST_EVERY = 5.0  # should a bell ever be missed


class Upkeep:
    """Touched only by the supervisor's loop. Times are monotonic."""

    def __init__(self) -> None:
        self.at = 0.0  # when to tend next
        self._look_at = 0.0

    def hurry(self, at: float) -> None:
        """Tend at that time, at the latest."""
        self.at = min(self.at, at)

    def tended(self, now: float, due: float | None) -> bool:
        """Note that it was done, and when something is due; True when it is time to look.

        What was due is looked for when its time has come, whatever is said to be due meanwhile:
        a broker that always names a heartbeat some seconds ahead would put it off for ever.
        """
        look = now >= self._look_at
        if look:
            self._look_at = math.inf
        self._look_at = min(self._look_at, now + _until(due))
        self.at = max(now + _AT_MOST_EVERY, min(now + _AT_LEAST_EVERY, self._look_at))
        return look


def _until(due: float | None) -> float:
    return _AT_LEAST_EVERY if due is None else min(due, _LOOK_AT_LEAST_EVERY)
