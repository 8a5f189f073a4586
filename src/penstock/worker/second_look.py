"""What the result store knows of messages that were just claimed, for brokers that do not know it.

Some brokers cannot keep a set of revoked ids, nor be sure that a settlement was read before the
connection broke. What the store says of a task decides then whether it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from penstock.brokers.base import Capabilities
from penstock.message import Lease, Record

__all__ = ["Seen", "asks", "sift"]


@dataclass(slots=True)
class Seen:
    """Leases to go on with, and those whose publication has ended before."""

    open: list[Lease] = field(default_factory=list)
    ended: list[Lease] = field(default_factory=list)


def asks(able: Capabilities, leases: Sequence[Lease]) -> bool:
    """Whether the store has to be asked before these begin."""
    if not able.revokes:
        return bool(leases)
    return not able.settles_surely and any(lease.attempt > 1 for lease in leases)


def sift(leases: Sequence[Lease], records: Sequence[Record | None]) -> Seen:
    """Sort leases by what is recorded of their tasks.

    A record without a key is a client's own: a revocation. One of the same publication is the end
    of a run whose acknowledgement was lost.
    """
    seen = Seen()
    for lease, record in zip(leases, records, strict=True):
        if record is None or not record.final:
            seen.open.append(lease)
        elif record.key == lease.message.key and lease.attempt > 1:
            seen.ended.append(lease)
        elif record.state == "REVOKED" and not record.key:
            seen.open.append(replace(lease, revoked=True))
        else:
            seen.open.append(lease)
    return seen
