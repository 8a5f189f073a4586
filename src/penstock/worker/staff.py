"""Keeping as many executors as the worker should have."""

from __future__ import annotations

import itertools
import selectors
from typing import TYPE_CHECKING

from penstock import telemetry
from penstock.clock import Clock
from penstock.crashpoints import reach
from penstock.worker.crew import Crew, Phase, Slot

if TYPE_CHECKING:
    from penstock.worker.options import WorkerPlan
    from penstock.worker.zygote_link import ZygoteLink

__all__ = ["Staff"]

_PAUSE = 1.0  # seconds between attempts, once executors die before they are ready
_EARLY_DEATHS = 3
_MOST_AT_ONCE = 256  # processes that a request may add


class Staff:
    """Asks the zygote for executors and replaces those that end; touched by the loop only."""

    def __init__(
        self,
        plan: WorkerPlan,
        *,
        crew: Crew,
        zygote: ZygoteLink,
        selector: selectors.BaseSelector,
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._crew = crew
        self._zygote = zygote
        self._selector = selector
        self._clock = clock
        self.size = plan.processes
        self._early_deaths = 0
        self._not_before = 0.0  # monotonic

    def fill(self) -> None:
        """Have an executor in every place, unless they keep dying at their start."""
        if self._clock.monotonic() >= self._not_before:
            for _ in range(self._vacant()):
                self._hire(next(i for i in itertools.count() if i not in self._crew.slots))

    def _vacant(self) -> int:
        """Places to be taken. Who runs several tasks is replaced as soon as it is leaving."""
        several = self._plan.capacity > 1
        slots = self._crew.slots.values()
        leaving = sum(slot.phase is Phase.LEAVING for slot in slots) if several else 0
        return max(0, self.size - len(slots) + leaving)

    def due(self) -> float | None:
        """When to fill again (monotonic); None when every place is taken."""
        return self._not_before if self._vacant() else None

    def resize(self, change: int) -> list[Slot]:
        """Have so many more from now on, or fewer; gives the executors that are to leave.

        Raises ValueError when none would be left.
        """
        if self.size + change < 1:
            raise ValueError(f"Can't shrink pool of {self.size} by {-change}: one must be left")
        if change > _MOST_AT_ONCE:
            raise ValueError(f"{change} processes at once are too many: ask for {_MOST_AT_ONCE}")
        self.size += change
        staying = [slot for slot in self._crew.slots.values() if slot.phase is not Phase.LEAVING]
        staying.sort(key=lambda slot: len(slot.held))  # the idle ones go first
        return staying[: max(0, len(staying) - self.size)]

    def _hire(self, index: int) -> None:
        channel = self._zygote.spawn(index, self._plan.name)
        plan = self._plan
        slot = Slot(index, channel, plan.capacity, plan.max_tasks_per_child)
        reach("hiring")
        self._crew.slots[index] = slot
        self._selector.register(slot.channel.fileno(), selectors.EVENT_READ)

    def ready(self, slot: Slot) -> None:
        """It takes tasks from now on."""
        slot.phase = Phase.READY
        self._early_deaths = 0
        telemetry.emit("worker.executor_ready", slot=slot.index, pid=slot.pid)

    def part_with(self, slot: Slot, status: int) -> None:
        """It is gone: close what is left of it and free its place."""
        if slot.open:  # something it started still holds the other end
            self._selector.unregister(slot.channel.fileno())
        slot.channel.close()
        del self._crew.slots[slot.index]
        if slot.phase is Phase.STARTING:
            self._early_deaths += 1
            if self._early_deaths >= _EARLY_DEATHS:
                self._not_before = self._clock.monotonic() + _PAUSE
        telemetry.emit("worker.executor_exited", slot=slot.index, pid=slot.pid, status=status)
