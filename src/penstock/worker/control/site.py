"""What commands from outside may see of a worker, and touch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from signal import Signals
from typing import TYPE_CHECKING, Any, Protocol

from penstock.clock import Clock

if TYPE_CHECKING:
    from logging import Logger

    from penstock.brokers.base import Broker
    from penstock.results.base import ResultStore
    from penstock.worker.control.clock import LogicalClock
    from penstock.worker.control.herald import Herald
    from penstock.worker.control.outbox import Outbox
    from penstock.worker.control.revoked import Revoked
    from penstock.worker.crew import Crew
    from penstock.worker.intake import Intake
    from penstock.worker.options import WorkerPlan
    from penstock.worker.protocol import Manifest, TaskPolicy

__all__ = ["Site", "Steered"]


class Steered(Protocol):
    """The loop that is looked at and steered: a supervisor, or the solo pool."""

    crew: Crew
    plan: WorkerPlan
    totals: Counter[str]  # runs that ended, by task

    @property
    def queues(self) -> Sequence[str]:
        """The queues it serves."""
        ...

    @property
    def size(self) -> int:
        """How many processes it wants to have."""
        ...

    def drain(self) -> None:
        """Finish what runs, hand back the rest, end."""
        ...

    def revoke(self, ids: Sequence[str], *, terminate: Signals | None = None) -> list[str]:
        """End what waits here, and by that signal what runs; gives the ids it had."""
        ...

    def resize(self, change: int) -> None:
        """Have so many processes more, or fewer; raises ValueError."""
        ...

    def consume(self, queue: str) -> None:
        """Serve this queue, too."""
        ...

    def cancel(self, queue: str) -> None:
        """Claim nothing more from this queue."""
        ...


@dataclass(slots=True, kw_only=True)
class Site:
    """One worker, as commands get it. Touched by the worker's loop only."""

    name: str
    loop: Steered
    broker: Broker
    store: ResultStore
    manifest: Manifest
    tasks: dict[str, TaskPolicy]  # what works are made by: a changed limit is for those to come
    intake: Intake
    herald: Herald
    outbox: Outbox
    logical: LogicalClock
    revoked: Revoked
    clock: Clock
    log: Logger
    since: float = field(default=0.0)  # monotonic

    def wall_of(self, monotonic: float) -> float:
        """The wall time of a moment on the monotonic clock."""
        return self.clock.wall() - (self.clock.monotonic() - monotonic)

    def setting(self, name: str) -> Any:
        """A setting of the app."""
        return self.manifest.settings[name]
