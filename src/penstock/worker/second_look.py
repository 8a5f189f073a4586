"""What the result store knows of messages that were just claimed, for brokers that do not know it.

Some brokers cannot keep a set of revoked ids, nor be sure that a settlement was read before the
connection broke. What the store says of a task decides then whether it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from penstock.brokers.base import Capabilities
from penstock.message import Lease, Record, is_after

__all__ = ["Seen", "asks", "sift"]


@dataclass(slots=True)
class Seen:
    """Leases to go on with, those whose publication has ended before, and second copies.

    A copy came together with its like: it waits until that one has told how it ended.
    """

    open: list[Lease] = field(default_factory=list)
    ended: list[Lease] = field(default_factory=list)
    copies: list[Lease] = field(default_factory=list)


def asks(able: Capabilities, leases: Sequence[Lease]) -> bool:
    """Whether the store has to be asked before these begin."""
    if not able.revokes:
        return bool(leases)
    return not able.settles_surely and any(lease.attempt > 1 for lease in leases)


def sift(leases: Sequence[Lease], records: Sequence[Record | None]) -> Seen:
    """Sort leases by what is recorded of their tasks.

    A record without a key is a client's own: a revocation. One of the same publication is the end
    of a run whose acknowledgement was lost, or that was stored twice.
    """
    seen = Seen()
    keys: set[str] = set()
    for lease, record in zip(leases, records, strict=True):
        key = lease.message.key
        if record is not None and _is_over(lease, record):
            seen.ended.append(lease)
            continue
        if key in keys and _is_ours(lease):
            seen.copies.append(lease)
            continue
        keys.add(key)
        if record is not None and record.state == "REVOKED" and not record.key:
            seen.open.append(replace(lease, revoked=record.final))
        else:
            seen.open.append(lease)
    return seen


def _is_over(lease: Lease, record: Record) -> bool:
    """True when this publication has ended: by a final record, or by one of its retry.

    A retry whose task has ended without it is over as well: its origin ran twice, for nobody knew
    whether the first of these runs was settled, and the other one came to an end.
    """
    key = lease.message.key
    if not record.key or (lease.attempt == 1 and not _is_ours(lease)):
        return False
    if is_after(record.key, key):
        return True
    return record.final and (record.key == key or is_after(key, record.key))


def _is_ours(lease: Lease) -> bool:
    """False for what came without a key: the same name may have been sent a second time."""
    message = lease.message
    return not message.key.startswith(f"{message.id}.")
