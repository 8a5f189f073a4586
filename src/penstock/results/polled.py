"""Waiting for results where the engine may not tell of them: look again, after growing pauses.

What this process itself stores, and what the engine is told of, wakes a waiter at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from penstock.clock import Clock
from penstock.errors import Unavailable, Uncertain
from penstock.message import Record
from penstock.plan import Listen, Plan, Wait
from penstock.results.base import PlannedStore
from penstock.results.told import are_ended, open_ids, renewed

__all__ = ["PolledStore", "done_bell"]

_Look = Callable[[Sequence[str]], Plan[list[Record | None]]]


def done_bell(task_id: str) -> str:
    """The bell that rings when a task has ended."""
    return f"done:{task_id}"


class PolledStore(PlannedStore):
    """A store whose waiters look again. A subclass has ``_clock`` and writes the rest."""

    FIRST_PAUSE: ClassVar[float] = 0.005  # seconds
    LONGEST_PAUSE: ClassVar[float] = 0.5
    GROWTH: ClassVar[float] = 1.5

    _clock: Clock

    def _longest_pause(self) -> float:
        return self.LONGEST_PAUSE

    def _wait(self, ids: Sequence[str], timeout: float | None) -> Plan[list[Record | None]]:
        return (yield from self._waiting(ids, timeout, self._get))

    def _waiting(
        self, ids: Sequence[str], timeout: float | None, look: _Look
    ) -> Plan[list[Record | None]]:
        """Wait; ``look`` gives the current records of those that have no end yet."""
        found = yield from self._get(ids)
        if are_ended(found) or (timeout is not None and timeout <= 0):
            return found
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        listener = yield Listen(tuple(map(done_bell, dict.fromkeys(ids))))
        try:
            pause = self.FIRST_PAUSE
            while True:
                found = yield from self._renewed(ids, found, deadline, look)
                left = pause if deadline is None else deadline - self._clock.monotonic()
                if are_ended(found) or left <= 0:
                    return found
                heard = yield Wait(listener, min(left, pause))
                longer = min(pause * self.GROWTH, self._longest_pause())
                pause = self.FIRST_PAUSE if heard else longer
        finally:
            listener.close()

    def _renewed(
        self,
        ids: Sequence[str],
        found: list[Record | None],
        deadline: float | None,
        look: _Look,
    ) -> Plan[list[Record | None]]:
        """Look again for those without an end; while the server is away nothing is new."""
        try:
            news = yield from look(open_ids(ids, found))
        except (Unavailable, Uncertain):
            if deadline is not None and self._clock.monotonic() >= deadline:
                raise  # the caller is told why, and not that there is no result
            return found
        return renewed(found, news)
