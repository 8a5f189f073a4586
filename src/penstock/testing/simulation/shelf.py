"""What a result store may show, by the rule of its contract and nothing else.

For each task id it keeps the records that a reader may find: more than one only while a write is
in doubt. A reading that shows another one is a violation; one that fits ends the doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from penstock.message import Record
from penstock.testing.simulation.violation import Violation

__all__ = ["Shelf"]

_Found = Record | None


class Shelf:
    """The records a store should hold. ``number`` gives the order in which keys were made."""

    def __init__(self, number: Callable[[str], int]) -> None:
        self.step = 0  # of what is told next
        self._number = number
        self._changed: dict[str, int] = {}
        self._possible: dict[str, list[_Found]] = {}

    def put(self, record: Record) -> None:
        """A write that certainly was carried out."""
        self._changed[record.id] = self.step
        self._possible[record.id] = _distinct(
            before if self._stale(record, before) else record for before in self._of(record.id)
        )

    def may_put(self, record: Record) -> None:
        """A write that may have been carried out."""
        before = self._of(record.id)
        self.put(record)
        self._possible[record.id] = _distinct([*before, *self._of(record.id)])

    def refused(self, record: Record) -> None:
        """The store said that a record is stale; it must be."""
        kept = [before for before in self._of(record.id) if self._stale(record, before)]
        if not kept:
            raise Violation("record", f"the store refused {_text(record)}, which is not stale")
        self._possible[record.id] = kept

    def taken(self, record: Record) -> None:
        """The store said that it took a record; it must not be stale."""
        if all(self._stale(record, before) for before in self._of(record.id)):
            raise Violation("record", f"the store took {_text(record)}, which is stale")
        self._changed[record.id] = self.step
        self._possible[record.id] = [record]

    def read(self, task_id: str, found: _Found) -> None:
        """Somebody reads; it must be one of those that may be there."""
        for possible in self._of(task_id):
            if _same(found, possible):
                self._possible[task_id] = [possible]
                return
        expected = " or ".join(_text(possible) for possible in self._of(task_id))
        raise Violation("record", f"{task_id} shows {_text(found)}; it should be {expected}")

    def changed(self, task_id: str) -> int:
        """The last step at which somebody may have written."""
        return self._changed.get(task_id, -1)

    def ids(self) -> list[str]:
        """Every id that was ever written."""
        return list(self._possible)

    def _of(self, task_id: str) -> list[_Found]:
        return self._possible.get(task_id, [None])

    def _stale(self, record: Record, current: _Found) -> bool:
        if current is None or _same(record, current):
            return False
        if record.key == current.key:
            return current.final or record.attempt < current.attempt
        return current.final and self._number(record.key) < self._number(current.key)

    def __repr__(self) -> str:
        return f"Shelf({len(self._possible)} ids)"


def _same(one: _Found, two: _Found) -> bool:
    # Each record that actors write has a document of its own.
    return (one and one.document) == (two and two.document)


def _distinct(records: Iterable[_Found]) -> list[_Found]:
    distinct: list[_Found] = []
    for record in records:
        if not any(_same(record, other) for other in distinct):
            distinct.append(record)
    return distinct


def _text(record: _Found) -> str:
    return record.document.decode() if record else "nothing"
