"""The rule by which result stores take or refuse a record, and records in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from penstock.engines.fading import Fading
from penstock.message import Record

__all__ = ["DONE_BELL", "Records", "is_stale"]

DONE_BELL = "done"
_ARRIVALS_KEPT = 86_400.0  # seconds since the last member of a group came


def is_stale(record: Record, current: Record | None) -> bool:
    """True when ``record`` must not replace ``current``.

    Keys of publications sort by the time they were made: a smaller one is an older publication.
    The same record once more is not stale: a write whose reply was lost is safe to repeat.
    """
    if current is None or record == current:
        return False
    if not record.key:
        return current.final
    if record.key == current.key:
        return current.final or record.attempt < current.attempt
    return current.final and record.key < current.key


class Records:
    """Result records and the arrivals of groups, until their time is over."""

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring
        self._records: Fading[Record] = Fading()
        self._groups: Fading[_Group] = Fading()

    def put(self, records: Sequence[Record], now: float) -> list[Record]:
        """Store records; gives those that are stale."""
        return [record for record in records if not self._stored(record, now)]

    def _stored(self, record: Record, now: float) -> bool:
        if is_stale(record, self._records.get(record.id, now)):
            return False
        end = math.inf if record.ttl is None else now + record.ttl
        self._records.set(record.id, record, end, now)
        self._ring(DONE_BELL)
        return True

    def get(self, ids: Sequence[str], now: float) -> list[Record | None]:
        """The record of each id, None where there is none."""
        return [self._records.get(task_id, now) for task_id in ids]

    def forget(self, ids: Sequence[str], now: float) -> None:
        """Drop the records of these ids."""
        for task_id in ids:
            self._records.pop(task_id, now)

    def arrive(self, group: str, member: str, size: int, claim: str, now: float) -> bool:
        """Note a member of a group; true for the claim that completed it, and for no other."""
        arrived = self._groups.get(group, now) or _Group()
        arrived.members.add(member)
        if not arrived.completed_by and len(arrived.members) >= size:
            arrived.completed_by = claim
            arrived.members.clear()
        self._groups.set(group, arrived, now + _ARRIVALS_KEPT, now)
        return arrived.completed_by == claim

    def sweep(self, now: float) -> None:
        """Drop what has ended."""
        self._records.sweep(now)
        self._groups.sweep(now)

    def __repr__(self) -> str:
        return f"Records({len(self._records)})"


class _Group:
    """Who of a group has arrived, and the claim that saw the last one come."""

    __slots__ = ("completed_by", "members")

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.completed_by = ""
