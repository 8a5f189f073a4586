"""One who takes part, and the operation it waits for."""

from __future__ import annotations

from penstock.plan import Command
from penstock.testing.simulation import operations as ops
from penstock.testing.simulation.actors import Script
from penstock.testing.simulation.publication import Instant

__all__ = ["Actor", "Call"]


class Actor:
    """One who takes part, until it ends or is crashed. A new one gets a new name."""

    __slots__ = ("alive", "call", "desk", "name", "role", "script")

    def __init__(self, role: str, number: int, script: Script, desk: ops.Desk) -> None:
        self.role = role
        self.name = f"{role}-{number}"
        self.script = script
        self.desk = desk
        self.call: Call | None = None
        self.alive = True


class Call:
    """One operation on its way."""

    __slots__ = (
        "actor",
        "answered",
        "began",
        "command",
        "consumed",
        "doomed",
        "first",
        "op",
        "parked_since",
        "pause",
        "plan",
        "round",
    )

    def __init__(self, actor: Actor, op: ops.Operation) -> None:
        self.actor = actor
        self.op = op
        self.plan = op.plan(actor.desk)
        self.command: Command | None = None
        self.began: Instant | None = None
        self.first: Instant | None = None  # when the command was first carried out
        self.consumed: Instant | None = None  # the same, of an earlier exchange of this plan
        self.answered = False
        self.doomed = False  # the caller dies before it hears
        self.round: Instant | None = None  # the first exchange of all, or since it waited
        self.pause = 0.0  # before the caller hears
        self.parked_since = -1

    @property
    def is_halfway(self) -> bool:
        """True when it has done something since it began, or waited, and was not answered yet."""
        return not self.answered and self.round is not None

    def since(self) -> Instant | None:
        """The earliest instant at which what it says may have been so."""
        if isinstance(self.op, ops.Tend | ops.Extend | ops.Look):  # they may look at once
            return self.began
        if isinstance(self.op, ops.Claim | ops.Turn):  # it may have got something and gone on
            return self.round or self.began
        return self.first or self.consumed

    def doubtful(self) -> Instant | None:
        """When it was carried out with a result that nobody saw, None if it was not."""
        if self.answered:
            return None
        if isinstance(self.op, ops.Claim):
            return self.round
        return self.first or self.consumed
