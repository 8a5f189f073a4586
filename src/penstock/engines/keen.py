"""Looking again and again for a moment, before going to sleep.

Who has just published and waits for the end will have it in a millisecond or two, where a worker is
idle and the task short. To be woken costs a tenth of that, for the core has gone to sleep, too. So
he looks for that long, giving the core away between two looks, and sleeps then as ever. One at a
time in each process does, and only if there is a second core to be had.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

__all__ = ["NEVER", "Keen"]


class Keen:
    """Whether somebody is so, and how he looks. ``seconds`` is how long after a publication."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds if _cores() > 1 else 0.0
        self._until = 0.0  # monotonic
        self._looking = threading.Lock()

    def rouse(self) -> None:
        """Something was published: whoever waits now may expect an answer soon."""
        self._until = time.monotonic() + self._seconds

    def poll(self, poller: Any, timeout: float | None) -> list[tuple[int, int]]:
        """What a ``select.poll`` object finds within so many seconds; None: however long."""
        began = time.monotonic()
        if began < self._until and self._looking.acquire(blocking=False):
            try:
                ends = self._until if timeout is None else min(self._until, began + timeout)
                if found := _look(poller, ends):
                    return found
            finally:
                self._looking.release()
        if timeout is not None:
            timeout = max(0.0, timeout - (time.monotonic() - began)) * 1000
        return poller.poll(timeout)  # type: ignore[no-any-return]


def _look(poller: Any, ends: float) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = poller.poll(0)
    while not found and time.monotonic() < ends:
        os.sched_yield()
        found = poller.poll(0)
    return found


def _cores() -> int:
    if hasattr(os, "sched_getaffinity") and hasattr(os, "sched_yield"):
        return len(os.sched_getaffinity(0))
    return 1  # not known how to give it away


NEVER = Keen(0.0)
