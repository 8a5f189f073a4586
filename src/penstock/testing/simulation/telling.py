"""Operations and their answers in a line, with short names, for the history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.message import Again, Lease, Settlement
from penstock.testing.simulation import operations as ops
from penstock.testing.simulation.ledger import Ledger

__all__ = ["told"]


def told(ledger: Ledger, op: ops.Operation, answer: object) -> str:  # noqa: PLR0911 - one each
    """What was asked, and what came of it (None: not known)."""
    match op:
        case ops.Publish(messages=messages):
            return "publish " + _named(ledger, (message.key for message in messages))
        case ops.Claim():
            return f"claim {op.limit} of {' '.join(op.queues)} -> {_leases(ledger, answer)}"
        case ops.Extend():
            return f"extend {_leases(ledger, op.leases)} -> {_leases(ledger, answer)}"
        case ops.Settle():
            settled, lost = _settlements(ledger, op.settlements), _settlements(ledger, answer)
            return f"settle {settled} ; lost: {lost}"
        case ops.Turn():
            lost, leases = answer if isinstance(answer, tuple) else (None, None)
            return f"{told(ledger, op.settle, lost)} and {told(ledger, op.claim, leases)}"
        case ops.Put(records=records):
            return "put " + " ".join(record.document.decode() for record in records)
        case ops.Look(ids=ids) | ops.Revoke(ids=ids):
            return f"{_verb(op)} {' '.join(ids)}"
        case ops.Replay(keys=keys) | ops.Drop(keys=keys):
            return f"{_verb(op)} {_named(ledger, keys)}"
        case ops.Tend() | ops.Letters():
            return _verb(op)


def _verb(op: ops.Operation) -> str:
    return type(op).__name__.lower()


def _named(ledger: Ledger, keys: Iterable[str]) -> str:
    return " ".join(map(ledger.name, keys))


def _leases(ledger: Ledger, leases: object) -> str:
    if not isinstance(leases, Sequence):
        return "?"
    return " ".join(_lease(ledger, lease) for lease in leases) or "nothing"


def _lease(ledger: Ledger, lease: Lease) -> str:
    return f"{ledger.name(lease.message.key)} (attempt {lease.attempt})"


def _settlements(ledger: Ledger, settlements: object) -> str:
    if not isinstance(settlements, Sequence):
        return "?"
    return ", ".join(_settlement(ledger, one) for one in settlements) or "nothing"


def _settlement(ledger: Ledger, one: Settlement) -> str:
    verb = type(one).__name__.lower()
    if isinstance(one, Again):
        verb = "back" if one.message.key == one.lease.message.key else "retry"
        if verb == "retry":
            return f"{_lease(ledger, one.lease)} retry as {ledger.name(one.message.key)}"
    return f"{_lease(ledger, one.lease)} {verb}"
