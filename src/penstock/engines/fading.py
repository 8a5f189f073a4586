"""A dictionary whose entries have an end: what is past it is gone, and soon out of memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Fading"]

V = TypeVar("V")

_STALE_MARKS = 64  # so many out-of-date marks are not worth a clean-up


class Fading(Generic[V]):
    """Values by key, each until its own time, all by one clock that the caller reads.

    With ``limit`` it holds so many at most: the one set longest ago leaves first.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._values: dict[str, tuple[float, V]] = {}  # in the order they were set
        self._marks: list[tuple[float, str]] = []  # a heap; may hold marks that are out of date

    def set(self, key: str, value: V, end: float, now: float) -> None:
        """Keep a value until ``end``."""
        self.sweep(now)
        self._values.pop(key, None)
        self._values[key] = (end, value)
        if end != float("inf"):
            heapq.heappush(self._marks, (end, key))
        if self._limit is not None and len(self._values) > self._limit:
            del self._values[next(iter(self._values))]
        if len(self._marks) > 2 * len(self._values) + _STALE_MARKS:
            self._renew_marks()

    def _renew_marks(self) -> None:
        self._marks = [(end, key) for key, (end, _) in self._values.items() if end != float("inf")]
        heapq.heapify(self._marks)

    def get(self, key: str, now: float) -> V | None:
        """The value of a key, None when there is none any more."""
        end, value = self._values.get(key, (0.0, None))
        return value if value is not None and end > now else None

    def pop(self, key: str, now: float) -> V | None:
        """Take a value out; None when there is none any more."""
        value = self.get(key, now)
        self._values.pop(key, None)
        return value

    def sweep(self, now: float) -> None:
        """Drop what has ended."""
        while self._marks and self._marks[0][0] <= now:
            _, key = heapq.heappop(self._marks)
            if key in self._values and self._values[key][0] <= now:
                del self._values[key]

    def values(self, now: float) -> Iterator[V]:
        """What there is, the newest first."""
        return (value for end, value in reversed(self._values.values()) if end > now)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Fading({len(self)} entries)"
