"""What the worker's loop leaves for those who watch it from another thread: plain numbers."""

from __future__ import annotations

import time

__all__ = ["Vitals"]


class Vitals:
    """Written by the loop, but for ``anew``; a reader may see one a little before another."""

    __slots__ = ("anew", "claims", "room", "turned_at", "turns")

    def __init__(self) -> None:
        self.turns = 0
        self.turned_at = time.monotonic()
        self.claims = 0  # messages claimed so far
        self.room = 0  # free slots, when it last thought of asking the broker for work
        self.anew = False  # the watchdog's wish: look for work, whatever the bells say

    def turned(self, now: float) -> None:
        """The loop has come round once more (monotonic)."""
        self.turns += 1
        self.turned_at = now

    def __repr__(self) -> str:
        return f"Vitals(turns={self.turns}, claims={self.claims}, room={self.room})"
