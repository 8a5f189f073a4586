"""Where the Python twin keeps items: each with its number, counted in the order of putting.

``plan_put`` and ``plan_take`` may compare items, so they run outside of the queue's section and
change nothing; ``put`` and ``take`` carry a plan out inside of it, or say that something else
changed meanwhile. ``items/heap.c`` explains the heap.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import islice, pairwise
from typing import Any, Protocol

__all__ = ["Fifo", "Gone", "Heap", "Lifo", "Plan", "Stale", "Store"]


class Stale(Exception):
    """The store changed since the plan was made: plan again. ``own``: this thread changed it."""

    def __init__(self, *, own: bool) -> None:
        self.own = own


class Gone(Exception):
    """No item has this number any more: look for another one."""


Plan = tuple[int, list[int]]  # version of the heap; the places whose entries move
_NO_PLAN: Plan = (0, [])


class Store(Protocol):
    """Items and their numbers."""

    def __len__(self) -> int: ...
    def plan_put(self, item: Any) -> Plan: ...
    def plan_last(self) -> Plan:
        """Behind all others, without comparing; inside the section."""
        ...

    def plan_take(self, seq: int | None) -> Plan:
        """For the item with this number, or (None) the one in turn."""
        ...

    def put(self, plan: Plan, seq: int, item: Any) -> None: ...
    def take(self, plan: Plan, seq: int | None, ahead: int) -> Any:
        """Without a number: the item in turn after ``ahead`` others."""
        ...

    def seq_in_turn(self, promised: int) -> int: ...
    def between(self, first: int, end: int) -> list[tuple[int, Any]]:
        """Numbers and items from ``first`` on, before ``end``, in the order of turn."""
        ...

    def clear(self) -> list[Any]: ...


class Fifo:
    """First in, first out."""

    def __init__(self) -> None:
        self._items: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def plan_put(self, item: Any) -> Plan:
        return _NO_PLAN

    def plan_last(self) -> Plan:
        return _NO_PLAN

    def plan_take(self, seq: int | None) -> Plan:
        return _NO_PLAN

    def put(self, plan: Plan, seq: int, item: Any) -> None:
        self._items[seq] = item

    def take(self, plan: Plan, seq: int | None, ahead: int) -> Any:
        if seq is not None and seq not in self._items:
            raise Gone
        return self._items.pop(self.seq_in_turn(ahead) if seq is None else seq)

    def seq_in_turn(self, promised: int) -> int:
        return next(islice(self._items, promised, None))

    def between(self, first: int, end: int) -> list[tuple[int, Any]]:
        return [(seq, item) for seq, item in self._items.items() if first <= seq < end]

    def clear(self) -> list[Any]:
        items, self._items = self._items, OrderedDict()
        return list(items.values())


class Lifo(Fifo):
    """Last in, first out: whoever comes for a promised item takes the newest there is."""

    def take(self, plan: Plan, seq: int | None, ahead: int) -> Any:
        return super().take(plan, next(reversed(self._items)) if seq is None else seq, 0)

    def seq_in_turn(self, promised: int) -> int:
        return list(self._items)[-1 - promised]

    def between(self, first: int, end: int) -> list[tuple[int, Any]]:
        return super().between(first, end)[::-1]


class Heap:
    """The least first, in the order of heapq."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, Any]] = []
        self._version = 0
        self._writer = 0  # the thread that made this version

    def __len__(self) -> int:
        return len(self._entries)

    def plan_put(self, item: Any) -> Plan:
        version = self._version
        return version, self._up(item, len(self._entries), version)

    def plan_last(self) -> Plan:
        return self._version, [len(self._entries)]

    def plan_take(self, seq: int | None) -> Plan:
        version, last = self._version, len(self._entries) - 1
        index = 0 if seq is None else self._index_of(seq)
        if index >= last:
            return version, [index]
        item = self._at(last)
        path = self._up(item, index, version)
        return version, path if len(path) > 1 else self._down(item, index, last, version)

    def put(self, plan: Plan, seq: int, item: Any) -> None:
        self._still(plan[0])
        self._entries.append((seq, item))
        self._carry_out(plan[1], (seq, item))

    def take(self, plan: Plan, seq: int | None, ahead: int) -> Any:
        version, path = plan
        self._still(version)
        _, item = self._entries[path[0]]
        moved = self._entries.pop()
        self._carry_out(path if path[0] < len(self._entries) else [], moved)
        return item

    def seq_in_turn(self, promised: int) -> int:
        return max(seq for seq, _ in self._entries) if promised else self._entries[0][0]

    def between(self, first: int, end: int) -> list[tuple[int, Any]]:
        return [entry for entry in self._entries if first <= entry[0] < end]

    def clear(self) -> list[Any]:
        entries, self._entries = self._entries, []
        self._version += 1
        return [item for _, item in entries]

    def _still(self, version: int) -> None:
        if version != self._version:
            raise Stale(own=self._writer == threading.get_ident())

    def _carry_out(self, path: list[int], moved: tuple[int, Any]) -> None:
        for to, origin in pairwise(path):
            self._entries[to] = self._entries[origin]
        if path:
            self._entries[path[-1]] = moved
        self._version += 1
        self._writer = threading.get_ident()

    def _index_of(self, seq: int) -> int:
        for index, (number, _) in enumerate(self._entries):
            if number == seq:
                return index
        raise Gone

    def _at(self, index: int) -> Any:
        try:
            return self._entries[index][1]
        except IndexError:
            raise Stale(own=False) from None

    def _less(self, a: Any, b: Any, version: int) -> bool:
        less = bool(a < b)
        self._still(version)
        return less

    def _up(self, item: Any, index: int, version: int) -> list[int]:
        """From ``index`` towards the root, as far as the item goes before what is there."""
        path = [index]
        while index > 0:
            index = (index - 1) >> 1
            if not self._less(item, self._at(index), version):
                break
            path.append(index)
        return path

    def _down(self, item: Any, index: int, size: int, version: int) -> list[int]:
        """From ``index`` to a leaf by the smaller children, then back to where the item fits."""
        path = [index]
        while index < size >> 1:
            index = self._smaller_child(index, size, version)
            path.append(index)
        while len(path) > 1 and self._less(item, self._at(path[-1]), version):
            path.pop()
        return path

    def _smaller_child(self, index: int, size: int, version: int) -> int:
        child = 2 * index + 1
        if child + 1 < size:
            child += not self._less(self._at(child), self._at(child + 1), version)
        return child
