"""Two ways to test code that sends tasks, without a worker.

``inline(app)``: ``delay`` runs the task at once. ``manual(app)``: ``delay`` stores in a broker of
the test's own, and the test says when what is due shall run, on a clock of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from penstock.brokers.memory import MemoryBroker
from penstock.clock import ManualClock
from penstock.engines.memory import MemoryEngine
from penstock.message import Again, Dead, Done, Lease, Message, Record, Settlement
from penstock.results.memory import MemoryStore
from penstock.tasks.frame import Delivery
from penstock.tasks.outcome import (
    Outcome,
    Rejected,
    Report,
    followed,
    record,
    report,
)
from penstock.tasks.run import run_call
from penstock.tasks.task import Task
from penstock.wire.task import Call, decode_call
from penstock.worker.protocol import TaskPolicy
from penstock.worker.triage import Triage

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.results.base import ResultStore
    from penstock.tasks.app import App

__all__ = ["Box", "inline", "manual"]

_LEASE = 3600.0  # seconds: a test's own clock moves only between runs
_BATCH = 100
_PEEKED = 1_000_000


@contextmanager
def inline(app: App, *, propagates: bool = False) -> Iterator[App]:
    """Within the ``with`` block tasks run where they are sent; their results are there at once.

    An exception shows when its result is read, or with ``propagates`` already in ``delay``.
    """
    changed = {
        "task_always_eager": True,
        "task_eager_propagates": propagates,
        "task_store_eager_result": True,
    }
    before = {name: getattr(app.conf, name) for name in changed}
    with _private_memory(app, clock=None):
        app.conf.update(changed)
        try:
            yield app
        finally:
            app.conf.update(before)


@contextmanager
def manual(app: App, *, clock: ManualClock | None = None) -> Iterator[Box]:
    """Within the ``with`` block messages wait in a :class:`Box` until the test runs them."""
    own = clock or ManualClock()
    with _private_memory(app, clock=own) as (broker, store):
        yield Box(app, broker=broker, store=store, clock=own)


@contextmanager
def _private_memory(app: App, *, clock: ManualClock | None) -> Iterator[tuple[Broker, ResultStore]]:
    at = app.clock if clock is None else clock
    engine = MemoryEngine()
    broker, store = MemoryBroker(engine=engine, clock=at), MemoryStore(engine=engine, clock=at)
    try:
        with app.connected(broker=broker, store=store, clock=clock):
            yield broker, store
    finally:
        broker.close()
        store.close()


class Box:
    """What was sent and has not run. ``clock`` moves only when the test advances it."""

    def __init__(self, app: App, *, broker: Broker, store: ResultStore, clock: ManualClock) -> None:
        self.app = app
        self.broker = broker
        self.store = store
        self.clock = clock

    def enqueued(self, task: Task[..., Any] | None = None) -> list[Call]:
        """The calls that wait, due or not: of one task, or all."""
        limits = self.app.conf.message_limits
        calls = [decode_call(message, limits=limits) for message in self._waiting()]
        return [call for call in calls if task is None or call.task == task.name]

    def drain(self) -> list[Outcome]:
        """Run what is due now, and what that sends, until nothing is due; how each run ended.

        Retries and countdowns wait until the clock has been advanced to their time. What rejects
        itself back to its queue runs once and is back there afterwards.
        """
        outcomes: list[Outcome] = []
        back: list[Settlement] = []
        while leases := self._due():
            for lease in leases:
                outcome, settlement = self._run(lease)
                goes_back = isinstance(outcome, Rejected) and outcome.requeue
                back += [settlement] if goes_back else self._settled(settlement)
                outcomes += [] if outcome is None else [outcome]
        self.broker.settle(back)
        return outcomes

    def _queues(self) -> list[str]:
        return [state.name for state in self.broker.queues()]

    def _waiting(self) -> list[Message]:
        return [message for name in self._queues() for message in self.broker.peek(name, _PEEKED)]

    def _due(self) -> list[Lease]:
        self.broker.tend()
        return self.broker.lease(self._queues(), _BATCH, _LEASE)

    def _run(self, lease: Lease) -> tuple[Outcome | None, Settlement]:
        """How a run ended, None where there was none, and how to settle it as a worker does."""
        found = self._triage().sort(lease)
        if isinstance(found, (Done, Again, Dead)):
            return None, found
        call = decode_call(lease.message, limits=self.app.conf.message_limits)
        delivery = Delivery(
            queue=lease.message.queue,
            priority=lease.message.priority,
            attempt=lease.attempt,
            hostname="test",
        )
        reporter = _Reporter(lease, store=self.store, ttl=self.app.conf.result_expires)
        outcome = run_call(self.app, call, delivery=delivery, reporter=reporter)
        outcome, following = followed(outcome, call, lease.message, settings=self.app.conf)
        written = report(
            outcome,
            call,
            settings=self.app.conf,
            delivery=delivery,
            now=self.clock.wall(),
            ignore_result=self.app.tasks[call.task].ignores_result(call),
        )
        return written.outcome, self._settlement(lease, call, written, following)

    def _triage(self) -> Triage:
        return Triage(
            tasks=dict.fromkeys(self.app.tasks, TaskPolicy()),
            clock=self.clock,
            result_ttl=self.app.conf.result_expires,
            limits=self.app.conf.message_limits,
        )

    def _settlement(
        self, lease: Lease, call: Call, written: Report, following: Message | None
    ) -> Settlement:
        ttl = self.app.conf.result_expires
        kept = record(written, call, key=lease.message.key, attempt=lease.attempt, ttl=ttl)
        if following is not None:
            return Again(lease, following, following.ready_at, kept)
        match written.outcome:
            case Rejected(requeue=True):
                return Again(lease, lease.message)
            case Rejected(reason=reason):
                return Dead(lease, reason, kept)
            case _:
                return Done(lease, kept)

    def _settled(self, settlement: Settlement) -> list[Settlement]:
        if settlement.record is not None and not self.broker.keeps_records_of(self.store):
            self.store.put([settlement.record])
        return self.broker.settle([settlement])

    def __repr__(self) -> str:
        return f"<Box of {self.app.name}: {len(self._waiting())} waiting>"


class _Reporter:
    """Stores the states that a run reports."""

    def __init__(self, lease: Lease, *, store: ResultStore, ttl: float | None) -> None:
        self._lease = lease
        self._store = store
        self._ttl = ttl

    def update_state(self, task_id: str, state: str, document: bytes) -> None:
        key, attempt = self._lease.message.key, self._lease.attempt
        self._store.put([Record(task_id, state, document, key, attempt, ttl=self._ttl)])
