"""Closing a queue while others still use it: the last one out shuts the broker."""

from __future__ import annotations

import threading
from collections.abc import Callable

from penstock.errors import ShutDown

__all__ = ["Door"]


class Door:
    """Counts who is inside. After a fork nobody is.

    Once it is closed only those get in who come late to settle what they hold, for as long as
    ``occupied`` says that something is held. ``shut`` is called once: when it is closed, nobody is
    inside and nothing is held.
    """

    def __init__(
        self, name: str, *, shut: Callable[[], None], occupied: Callable[[], bool]
    ) -> None:
        self._name = name
        self._shut = shut
        self._occupied = occupied
        self._is_shut = False
        self.closed = False
        self.start_afresh()

    def start_afresh(self) -> None:
        """Nobody is inside: for a forked child, where the other threads are missing."""
        self._lock = threading.Lock()
        self._inside = 0

    def enter(self, *, late: bool = False) -> None:
        """Be inside until :meth:`leave`; raises ShutDown if it is closed."""
        with self._lock:
            if self.closed and (self._is_shut or not late):
                raise ShutDown(f"the queue {self._name} was closed in this process; open it again")
            self._inside += 1

    def leave(self) -> None:
        """Be inside no longer."""
        with self._lock:
            self._inside -= 1
            last = self.closed and not (self._inside or self._is_shut or self._occupied())
            self._is_shut |= last
        if last:
            self._shut()

    def __repr__(self) -> str:
        return f"<door of {self._name}, {'closed' if self.closed else 'open'}>"
