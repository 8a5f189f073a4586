"""Executors on their way out: those that did their share, and those that were given up.

One that runs several tasks cannot be killed for one of them, as a process of prefork is. So the
run is given up at once: its end is recorded, whatever the executor says of it later is not heard,
and a fresh executor takes the place. The old one gets ``shutdown_timeout`` for the other tasks it
runs and is killed then; they go back to their queues, and nothing is counted.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from penstock.worker.crew import Crew, Phase, Slot, Verdict, Work

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["Retiring"]

_MINDED = 5.0  # seconds that a task has for what it does about a signal


class Retiring:
    """Touched by the supervisor's loop only."""

    def __init__(
        self, *, crew: Crew, timeout: float, kill: Callable[[int, int], None], log: Logger
    ) -> None:
        self._crew = crew
        self._timeout = timeout
        self._kill = kill  # slot, signal
        self._log = log
        self._slots: list[Slot] = []

    def leave(self, slot: Slot, now: float) -> None:
        """It takes no more tasks; what it has not begun is for others."""
        if slot.phase is Phase.LEAVING:
            return
        slot.phase = Phase.LEAVING
        self._crew.recall(slot, now)
        slot.channel.finish()
        self._slots.append(slot)

    def give_up(self, slot: Slot, works: Iterable[Work], now: float) -> None:
        """Let go of runs that cannot be ended alone, and of the executor that has them."""
        for work in works:
            slot.held.pop(work.tag)
            slot.given_up.add(work.tag)
        self.leave(slot, now)
        if slot.leave_by is None:
            slot.leave_by = now + self._timeout

    def warn(self, slot: Slot, now: float) -> None:
        """It is told by a signal to end: if it is still there after a while, it is killed."""
        self.leave(slot, now)
        ends = now + _MINDED
        slot.leave_by = ends if slot.leave_by is None else min(slot.leave_by, ends)

    def __repr__(self) -> str:
        return f"Retiring({[slot.index for slot in self._slots]})"

    def next(self) -> float | None:
        """When somebody is to be killed (monotonic), or None."""
        return min((s.leave_by for s in self._slots if s.leave_by is not None), default=None)

    def enforce(self, now: float) -> None:
        """Kill whose time is over, and who has nothing left but what was given up."""
        if not self._slots:
            return
        self._slots = [slot for slot in self._slots if self._crew.slots.get(slot.index) is slot]
        for slot in list(self._slots):
            if not slot.held and slot.leave_by is None:
                slot.leave_by = now + self._timeout  # for the app's own hooks
            idle = not slot.held and slot.given_up
            if idle or (slot.leave_by is not None and now >= slot.leave_by):
                self._end(slot)

    def _end(self, slot: Slot) -> None:
        back = [work for work in slot.held.values() if work.verdict is None]
        if back:
            self._log.warning(
                "Executor %d is given up: %d tasks go back to their queues", slot.index, len(back)
            )
        for work in slot.held.values():
            work.verdict = work.verdict or Verdict.CUT_OFF
        self._slots.remove(slot)
        self._kill(slot.index, signal.SIGKILL)
