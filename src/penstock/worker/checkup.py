"""How this worker is, put together from what its parts show; asked from the probe's thread."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from penstock.worker.crew import Crew, Phase
from penstock.worker.probe import Health

if TYPE_CHECKING:
    from penstock.worker.custody import Custody
    from penstock.worker.options import WorkerPlan
    from penstock.worker.stopping import StopSignals
    from penstock.worker.vitals import Vitals

__all__ = ["Checkup"]

_COMES_ROUND = 30.0  # seconds: a turn takes under one, but with a broker that does not answer


class Checkup:
    """Before the worker has its broker, ``crew`` and ``custody`` are None."""

    def __init__(self, plan: WorkerPlan, *, vitals: Vitals, stop: StopSignals) -> None:
        self.plan = plan
        self.crew: Crew | None = None
        self.custody: Custody | None = None
        self._vitals = vitals
        self._stop = stop
        self._since = time.monotonic()

    def health(self) -> Health:
        """How it is now."""
        plan, vitals, now = self.plan, self._vitals, time.monotonic()
        executors, running, waiting = self._work()
        # Without a crew it waits for its broker, or runs tasks itself (solo): both take their time.
        alive = self.crew is None or plan.pool == "solo" or self._turns(now)
        broker = self.custody is not None and not self.custody.resting
        stopping = self._stop.asked
        return Health(
            name=plan.name,
            pid=os.getpid(),
            app=plan.app,
            pool=plan.pool,
            queues=plan.queues,
            alive=alive,
            broker=broker,
            consuming=alive and broker and not stopping and executors > 0,
            stopping=stopping,
            executors=executors,
            running=running,
            waiting=waiting,
            claimed=vitals.claims,
            silent=round(now - vitals.turned_at, 3),
            up=round(now - self._since, 3),
        )

    def _turns(self, now: float) -> bool:
        return now - self._vitals.turned_at < _COMES_ROUND

    def _work(self) -> tuple[int, int, int]:
        """Executors that take tasks, tasks that run, and tasks that wait."""
        if self.crew is None:
            return 0, 0, 0
        if self.plan.pool == "solo":
            return 1, 0, 0
        slots = list(self.crew.slots.values())  # one step: the loop changes them meanwhile
        ready = sum(slot.phase is Phase.READY for slot in slots)
        return ready, sum(len(slot.held) for slot in slots), len(self.crew.waiting)

    def __repr__(self) -> str:
        return f"Checkup({self.plan.name!r})"
