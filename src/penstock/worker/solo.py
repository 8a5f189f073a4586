"""The solo pool: one task at a time in the worker's own process, for debuggers and small machines.

There is no zygote and no executor: what a task does to its process it does to the worker. A thread
beside it renews the lease.
"""

from __future__ import annotations

import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from signal import Signals
from typing import TYPE_CHECKING

from penstock.errors import Unavailable, Uncertain
from penstock.worker.executor import Executor
from penstock.worker.protocol import (
    Finished,
    FromExecutor,
    Hand,
    Progress,
    Rejected,
    Retried,
    Unreadable,
)

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.plan import Listener
    from penstock.tasks.app import App
    from penstock.worker.control.herald import Herald
    from penstock.worker.control.panel import Panel
    from penstock.worker.crew import Crew, Work
    from penstock.worker.custody import Custody
    from penstock.worker.endings import Endings
    from penstock.worker.intake import Intake
    from penstock.worker.options import WorkerPlan
    from penstock.worker.stopping import StopSignals
    from penstock.worker.vitals import Vitals

__all__ = ["Solo"]

_LONGEST_WAIT = 1.0  # seconds between two looks at the broker's upkeep
_EXTENDS_PER_LEASE = 3


class Solo:
    """Leases, runs, settles, in turn. It is its executor's channel: ``send`` books the answer."""

    def __init__(
        self,
        plan: WorkerPlan,
        *,
        app: App,
        broker: Broker,
        custody: Custody,
        intake: Intake,
        endings: Endings,
        crew: Crew,
        listener: Listener,
        listen: Callable[[Sequence[str]], Listener],
        stop: StopSignals,
        herald: Herald,
        panel: Callable[[Solo], Panel],
        vitals: Vitals,
    ) -> None:
        self.plan = plan
        self.crew = crew  # nobody is in it: what is asked for is done between two tasks
        self.totals: Counter[str] = Counter()
        self._queues = list(plan.queues)
        self._draining = False
        self._herald = herald
        self._listen = listen
        self._broker = broker
        self._custody = custody
        self._intake = intake
        self._endings = endings
        self._listener = listener
        self._stop = stop
        self._vitals = vitals
        self._executor = Executor(app, self, hostname=plan.name)
        self._work: Work | None = None
        self._panel = panel(self)

    def run(self) -> int:
        """Work until told to stop; gives the exit code."""
        self._executor.start()
        self._panel.begin()
        while not self._stop.count() and not self._draining:
            self._vitals.turned(time.monotonic())
            self._listener.clear()  # before looking: a ring from now on is heard again
            wait = self._custody.tend()
            leases = self._custody.exchange(self._queues, 1 if self._queues else 0)
            self._vitals.claims += len(leases)
            self._queues += self._queues[:1]
            del self._queues[:1]
            for work in self._intake.receive(leases):
                self._run(work)
            idle = not leases and (self._custody.resting or not self._custody.pending)
            longest = _LONGEST_WAIT if wait is None else min(wait, _LONGEST_WAIT)
            self._hear(longest if idle else 0.0)
        self._custody.exchange((), 0)
        self._custody.part()
        self._panel.end()
        self._executor.stop()
        return 0

    def _hear(self, seconds: float) -> None:
        """Do what is asked for, and wait so long for anything where there is nothing to do."""
        sources = [self._listener.fileno(), self._stop.fileno(), *self._panel.sources()]
        wait = max(seconds, self._custody.resting) if seconds else 0.0
        ready, _, _ = select.select(sources, [], [], wait)
        if self._listener.fileno() in ready:
            self._custody.hurry()
        self._panel.turn(set(ready), time.monotonic())

    def _run(self, work: Work) -> None:
        self._work = work
        lease = work.lease
        if self._herald.on:
            self._herald.started(work.header.id)
        with self._renewed(work):
            hand = Hand(work.tag, lease.message, lease.attempt, announce=True)
            self._executor.run(hand, guard=nullcontext)
        self.totals[work.header.task] += 1

    @contextmanager
    def _renewed(self, work: Work) -> Iterator[None]:
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self.plan.lease_time / _EXTENDS_PER_LEASE):
                try:
                    held = self._broker.extend([work.lease], self.plan.lease_time)
                except (Unavailable, Uncertain):  # it may be back before the lease is over
                    continue
                if not held:
                    work.lost = True
                    return

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        if not work.settled:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            if not work.settled:
                thread.join()

    def send(self, value: FromExecutor) -> None:
        """Book what the executor answers about the work that runs."""
        work = self._work
        if work is None:
            return
        match value:
            case Finished():
                self._endings.finished(work, value)
            case Retried():
                self._endings.retried(work, value)
            case Rejected():
                self._endings.rejected(work, value)
            case Unreadable():
                self._endings.unreadable(work, value.reason)
            case Progress():
                self._endings.progress(work, value)
                self._custody.exchange((), 0)
            case _:
                return

    # --- being steered from outside --------------------------------------------------------

    @property
    def queues(self) -> Sequence[str]:
        """The queues that are served, by name."""
        return sorted(self._queues)

    @property
    def size(self) -> int:
        """One process: this."""
        return 1

    def drain(self) -> None:
        """End."""
        self._draining = True

    def revoke(self, ids: Sequence[str], *, terminate: Signals | None = None) -> list[str]:
        """Nothing runs or waits here while this is called."""
        return []

    def resize(self, change: int) -> None:
        """Not here."""
        raise ValueError("the solo pool is one process")

    def consume(self, queue: str) -> None:
        """Serve this queue, too."""
        self._serve([*self._queues, queue])

    def cancel(self, queue: str) -> None:
        """Claim nothing more from this queue."""
        self._serve([name for name in self._queues if name != queue])

    def _serve(self, queues: list[str]) -> None:
        self._listener = self._listen(queues)
        self._queues = queues
