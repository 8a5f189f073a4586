"""Rate limits, per task and worker, and time limits of runs."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable

from penstock.worker.crew import Slot, Verdict, Work

__all__ = ["RateLimit", "TimeLimits"]

_MOST_RESERVED = 100_000

# A signal that an executor gets before its own clock says so is not heeded: it may be meant for the
# task before. On a busy machine one that was late to begin hears it so; it is said again, then.
_SOFT_AGAIN = 0.05  # seconds after the first time; twice as long after each other
_SOFT_SIGNALS = 9  # over some 13 s in all; a task that has had its exception does not notice


class RateLimit:
    """Even spacing: each message reserves the next free moment and may run from then on."""

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate
        self._next = 0.0
        self._reserved: dict[str, float] = {}

    def admit(self, key: str, now: float) -> float:
        """Seconds until the publication ``key`` may run; 0: it may run now.

        It keeps its reserved moment when it is asked for again.
        """
        at = self._reserved.get(key)
        if at is None:
            at = max(now, self._next)
            self._next = at + self._interval
        if at <= now:
            self._reserved.pop(key, None)
            return 0.0
        if len(self._reserved) >= _MOST_RESERVED:  # moments of messages that others took
            self._reserved = {k: t for k, t in self._reserved.items() if t > now}
        self._reserved[key] = at
        return at - now


class TimeLimits:
    """Watches the runs that have limits, from the moment the executor says they began.

    An executor that runs several tasks keeps their soft limits itself.
    """

    def __init__(self, kill: Callable[[int, int], None]) -> None:
        self._kill = kill  # slot, signal
        self._runs: dict[int, tuple[Work, Slot]] = {}

    def watch(self, work: Work, slot: Slot) -> None:
        """A run with limits began in that slot."""
        if slot.capacity > 1:
            work.soft_sent = True
        if work.hard_limit or (work.soft_limit and not work.soft_sent):
            self._runs[work.tag] = (work, slot)

    def forget(self, work: Work) -> None:
        """It ended."""
        self._runs.pop(work.tag, None)

    def next(self) -> float | None:
        """When the next limit is reached (monotonic), or None."""
        return min((_due(work) for work, _ in self._runs.values()), default=None)

    def enforce(self, now: float) -> list[tuple[Work, Slot]]:
        """Signal what is over its soft limit; gives what is over its hard one."""
        over = []
        for work, slot in list(self._runs.values()):
            begun = work.begun_at or now
            if work.hard_limit and now >= begun + work.hard_limit:
                work.verdict = Verdict.TIME_LIMIT
                self.forget(work)
                over.append((work, slot))
            elif not work.soft_sent and now >= begun + _soft_after(work):
                work.soft_signals += 1
                work.soft_sent = work.soft_signals == _SOFT_SIGNALS
                self._kill(slot.index, signal.SIGUSR1)
        return over


def _due(work: Work) -> float:
    soft = math.inf if work.soft_sent else _soft_after(work)
    return (work.begun_at or 0.0) + min(work.hard_limit or math.inf, soft)


def _soft_after(work: Work) -> float:
    """Seconds from its beginning to the next signal of its soft limit."""
    if not work.soft_limit:
        return math.inf
    return work.soft_limit + _SOFT_AGAIN * ((1 << work.soft_signals) - 1)
