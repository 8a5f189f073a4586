"""What actors ask for: each operation knows the plan that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from penstock.brokers.base import PlannedBroker
from penstock.message import DeadLetter, Lease, Message, Record, Settlement
from penstock.plan import Plan, as_plan, together
from penstock.results.base import PlannedStore

__all__ = [
    "Claim",
    "Desk",
    "Drop",
    "Extend",
    "Letters",
    "Look",
    "Operation",
    "Publish",
    "Put",
    "Replay",
    "Revoke",
    "Settle",
    "Sleep",
    "Tend",
    "Turn",
]

R = TypeVar("R")

# Plans are what a planned broker writes for the drivers, of which the simulation is one.
# ruff: noqa: SLF001


@dataclass(frozen=True, slots=True)
class Desk:
    """One client's ends of the broker and the result store."""

    broker: PlannedBroker
    store: PlannedStore | None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let virtual seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Publish:
    """Gives None: stored."""

    messages: Sequence[Message]

    def plan(self, desk: Desk) -> Plan[None]:
        return as_plan(desk.broker._publish(self.messages))


@dataclass(frozen=True, slots=True)
class Claim:
    """Gives the leases."""

    queues: Sequence[str]
    limit: int
    ttl: float
    wait: float = 0.0

    def plan(self, desk: Desk) -> Plan[list[Lease]]:
        return desk.broker._lease(self.queues, self.limit, self.ttl, self.wait)


@dataclass(frozen=True, slots=True)
class Extend:
    """Gives the leases that are still held."""

    leases: Sequence[Lease]
    ttl: float

    def plan(self, desk: Desk) -> Plan[list[Lease]]:
        return desk.broker._extend(self.leases, self.ttl)


@dataclass(frozen=True, slots=True)
class Settle:
    """Gives what was refused."""

    settlements: Sequence[Settlement]

    def plan(self, desk: Desk) -> Plan[list[Settlement]]:
        return desk.broker._settle(self.settlements)


@dataclass(frozen=True, slots=True)
class Turn:
    """Settles and claims in one round trip; gives what was refused, and the leases."""

    settle: Settle
    claim: Claim

    def plan(self, desk: Desk) -> Plan[tuple[Any, Any]]:
        return together(self.settle.plan(desk), self.claim.plan(desk))


@dataclass(frozen=True, slots=True)
class Tend:
    """Gives the seconds until the next upkeep, or None."""

    def plan(self, desk: Desk) -> Plan[float | None]:
        return desk.broker._tend()


@dataclass(frozen=True, slots=True)
class Put:
    """Gives the records that were refused."""

    records: Sequence[Record]

    def plan(self, desk: Desk) -> Plan[list[Record]]:
        assert desk.store is not None
        return desk.store._put(self.records)


@dataclass(frozen=True, slots=True)
class Look:
    """Waits for results; gives the records."""

    ids: Sequence[str]
    timeout: float

    def plan(self, desk: Desk) -> Plan[list[Record | None]]:
        assert desk.store is not None
        return desk.store._wait(self.ids, self.timeout)


# What has no plan of its own happens at once, when the actor's turn comes.


def _at_once(run: Callable[[], R]) -> Plan[R]:
    yield from ()
    return run()


@dataclass(frozen=True, slots=True)
class Revoke:
    """Gives None."""

    ids: Sequence[str]
    ttl: float

    def plan(self, desk: Desk) -> Plan[None]:
        return _at_once(lambda: desk.broker.revoke(self.ids, self.ttl))


@dataclass(frozen=True, slots=True)
class Letters:
    """Gives all dead letters."""

    def plan(self, desk: Desk) -> Plan[list[DeadLetter]]:
        return _at_once(lambda: desk.broker.dead(None, 1_000_000))


@dataclass(frozen=True, slots=True)
class Replay:
    """Gives the messages that are queued now."""

    keys: Sequence[str]

    def plan(self, desk: Desk) -> Plan[list[Message]]:
        return _at_once(lambda: desk.broker.replay(self.keys))


@dataclass(frozen=True, slots=True)
class Drop:
    """Gives how many dead letters are forgotten."""

    keys: Sequence[str]

    def plan(self, desk: Desk) -> Plan[int]:
        return _at_once(lambda: desk.broker.drop(self.keys))


Operation = (
    Publish | Claim | Extend | Settle | Turn | Tend | Put | Look | Revoke | Letters | Replay | Drop
)
