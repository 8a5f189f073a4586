"""The solo pool: one task at a time in the worker's own process, for debuggers and small machines.

There is no zygote and no executor: what a task does to its process it does to the worker. A thread
beside it renews the lease.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

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
    from penstock.worker.crew import Work
    from penstock.worker.custody import Custody
    from penstock.worker.endings import Endings
    from penstock.worker.intake import Intake
    from penstock.worker.options import WorkerPlan
    from penstock.worker.stopping import StopSignals

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
        listener: Listener,
        stop: StopSignals,
    ) -> None:
        self._plan = plan
        self._broker = broker
        self._custody = custody
        self._intake = intake
        self._endings = endings
        self._listener = listener
        self._stop = stop
        self._executor = Executor(app, self, hostname=plan.name)
        self._work: Work | None = None

    def run(self) -> int:
        """Work until told to stop; gives the exit code."""
        queues = list(self._plan.queues)
        self._executor.start()
        while not self._stop.count():
            self._listener.clear()  # before looking: a ring from now on is heard again
            wait = self._custody.tend()
            leases = self._custody.exchange(queues, 1)
            queues.append(queues.pop(0))
            for work in self._intake.receive(leases):
                self._run(work)
            if not leases and not self._custody.pending:
                self._rest(_LONGEST_WAIT if wait is None else min(wait, _LONGEST_WAIT))
        self._custody.exchange((), 0)
        self._executor.stop()
        return 0

    def _rest(self, seconds: float) -> None:
        sources = [self._listener.fileno(), self._stop.fileno()]
        select.select(sources, [], [], max(seconds, self._custody.resting))

    def _run(self, work: Work) -> None:
        self._work = work
        lease = work.lease
        with self._renewed(work):
            hand = Hand(work.tag, lease.message, lease.attempt, announce=True)
            self._executor.run(hand, guard=nullcontext)

    @contextmanager
    def _renewed(self, work: Work) -> Iterator[None]:
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self._plan.lease_time / _EXTENDS_PER_LEASE):
                if not self._broker.extend([work.lease], self._plan.lease_time):
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
