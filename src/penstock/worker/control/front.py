"""A worker's front: all that is seen and steered from outside, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.clock import Clock
from penstock.worker.control.clock import LogicalClock
from penstock.worker.control.herald import Herald
from penstock.worker.control.outbox import Outbox
from penstock.worker.control.panel import Panel
from penstock.worker.control.revoked import Revoked
from penstock.worker.control.site import Site

if TYPE_CHECKING:
    from logging import Logger

    from penstock.brokers.base import Broker
    from penstock.results.base import ResultStore
    from penstock.worker.control.site import Steered
    from penstock.worker.intake import Intake
    from penstock.worker.options import WorkerPlan
    from penstock.worker.protocol import Manifest, TaskPolicy

__all__ = ["Front"]


class Front:
    """Made before the loop, which needs the herald and the revoked ids; the panel needs the loop.

    From its making on requests are heard, so none is missed while the loop begins.
    """

    def __init__(self, broker: Broker, plan: WorkerPlan, *, clock: Clock, log: Logger) -> None:
        self._broker = broker
        self._name = plan.name
        self._clock = clock
        self._log = log
        talk = broker.talk
        self._ear = talk.requests(plan.name) if broker.capabilities.broadcasts else None
        self._logical = LogicalClock()
        self._outbox = Outbox(talk, name=plan.name, log=log)
        self.revoked = Revoked(clock)
        self.herald = Herald(
            self._outbox if talk.events and broker.capabilities.broadcasts else None,
            name=plan.name,
            logical=self._logical,
            clock=clock,
            on=plan.task_events,
        )

    def panel(
        self,
        loop: Steered,
        *,
        store: ResultStore,
        manifest: Manifest,
        tasks: dict[str, TaskPolicy],
        intake: Intake,
    ) -> Panel:
        """What heeds requests for that loop."""
        site = Site(
            name=self._name,
            loop=loop,
            broker=self._broker,
            store=store,
            manifest=manifest,
            tasks=tasks,
            intake=intake,
            herald=self.herald,
            outbox=self._outbox,
            logical=self._logical,
            revoked=self.revoked,
            clock=self._clock,
            log=self._log,
            since=self._clock.monotonic(),
        )
        return Panel(site, self._ear)

    def __repr__(self) -> str:
        return f"Front({self._name!r})"
