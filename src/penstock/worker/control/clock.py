"""Logical time: it puts what several workers tell into an order."""

from __future__ import annotations

__all__ = ["LogicalClock"]


class LogicalClock:
    """A counter after Lamport; touched by the worker's loop only."""

    def __init__(self) -> None:
        self.value = 0

    def forward(self) -> int:
        """The time of something that happens now."""
        self.value += 1
        return self.value

    def adjust(self, other: int) -> None:
        """Something came from somebody whose clock says ``other``: now is later than that."""
        self.value = max(self.value, other) + 1

    def __repr__(self) -> str:
        return f"LogicalClock({self.value})"
