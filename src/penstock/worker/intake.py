"""From leases to works: triage, rate limits, and acknowledging early where a task wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.clock import Clock
from penstock.errors import BrokerError, ConfigError
from penstock.message import Again, Dead, Lease, Settlement
from penstock.tasks.rates import parse_rate
from penstock.worker.crew import Work
from penstock.worker.limits import RateLimit
from penstock.worker.past import Past
from penstock.worker.triage import Triage

if TYPE_CHECKING:
    from logging import Logger

    from penstock.wire.task import Header
    from penstock.worker.control.herald import Herald
    from penstock.worker.custody import Custody
    from penstock.worker.protocol import TaskPolicy

__all__ = ["Intake"]


class Intake:
    """Touched only by the supervisor's loop."""

    def __init__(
        self,
        *,
        custody: Custody,
        triage: Triage,
        new_tag: Callable[[], int],
        clock: Clock,
        log: Logger,
        herald: Herald | None = None,
    ) -> None:
        self._custody = custody
        self._triage = triage
        self._new_tag = new_tag
        self._clock = clock
        self._log = log
        self._herald = herald
        self._rates = self._rate_limits()

    def _rate_limits(self) -> dict[str, RateLimit]:
        limits = {}
        for name, task in self._triage.tasks.items():
            rate = parse_rate(task.rate_limit)
            if rate is not None:
                limits[name] = RateLimit(rate)
        return limits

    def limit(self, task: str, rate: float | None) -> None:
        """So many of these a second from now on; None: as many as there are."""
        if rate is None:
            self._rates.pop(task, None)
        else:
            self._rates[task] = RateLimit(rate)

    def receive(self, leases: list[Lease]) -> list[Work]:
        """The works to hand to executors, in order; the rest is settled with its reason."""
        works, early = [], []
        for lease in leases:
            work = self._sort(lease)
            if work is not None:
                works.append(work)
                if not work.policy.acks_late:
                    early.append(work)
        if not early:
            return works
        refused = self._acknowledge(early)
        return [work for work in works if work.tag not in refused]

    def _sort(self, lease: Lease) -> Work | None:
        sorted_out = self._triage.sort(lease)
        if not isinstance(sorted_out, tuple):
            self._turn_away(sorted_out)
            return None
        header, policy = sorted_out
        pause = self._pause(header.task, lease) if self._rates else 0.0
        if pause:  # back to the broker until its moment: durable, and nothing waits behind it
            self._custody.settle(Again(lease, lease.message, self._clock.wall() + pause))
            return None
        self._log.info("Received task: %s[%s]", header.task, header.id)
        if self._herald is not None and self._herald.on:
            self._herald.received(header)
        return self._work(lease, header, policy)

    def _work(self, lease: Lease, header: Header, policy: TaskPolicy) -> Work:
        return Work(
            tag=self._new_tag(),
            lease=lease,
            header=header,
            policy=policy,
            since=self._clock.monotonic(),
            alone=Past.of_lease(lease).alone,
        )

    def _pause(self, task: str, lease: Lease) -> float:
        limit = self._rates.get(task)
        return limit.admit(lease.message.key, self._clock.monotonic()) if limit else 0.0

    def _turn_away(self, settlement: Settlement) -> None:
        task_id = settlement.lease.message.id
        if isinstance(settlement, Dead):
            self._log.error("Task %s is a dead letter: %s", task_id, settlement.reason)
        else:
            self._log.info("Task %s is not run: it was revoked or has expired", task_id)
        self._custody.settle(settlement)
        record = settlement.record
        if record is not None and self._herald is not None and self._herald.on:
            self._herald.ended(task_id, record.state, record)

    def _acknowledge(self, works: list[Work]) -> set[int]:
        """Settle before the run (at most once); gives the tags of those that must not run."""
        try:
            held = self._custody.settle_now([work.lease for work in works])
        except (BrokerError, ConfigError) as error:
            self._log.error("Cannot acknowledge before the run, not running: %s", error)
            return {work.tag for work in works}  # their leases run out, others see to them
        kept = {lease.message.key for lease in held}
        for work in works:
            work.settled = True
        return {work.tag for work in works if work.lease.message.key not in kept}
