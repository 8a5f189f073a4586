"""What one thread at a time may do, and what interrupts that thread does afterwards."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Interrupting", "Section"]


class Interrupting(Exception):
    """This thread is inside already: a signal handler or a destructor interrupted it there."""


class Section:
    """``with section:`` is for one thread at a time and raises Interrupting where it would nest.

    What is put off with ``later`` is done as soon as nobody of this thread is inside. A lock that
    can be taken twice, and a flag: an interruption before the flag is set, or after it is taken
    down, finds everything whole and goes through.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._inside = False
        self._put_off: deque[Callable[[], object]] = deque()

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._inside:
            self._lock.release()
            raise Interrupting
        self._inside = True

    def __exit__(self, *exc: object) -> None:
        self._inside = False
        self._lock.release()
        while self._put_off:
            self._next()()

    def later(self, act: Callable[[], object]) -> None:
        """Done when this section is left, in order."""
        self._put_off.append(act)

    def hold(self) -> None:
        """Keep every thread out: for a fork, whose child must not find another one inside."""
        self._lock.acquire()

    def let_go(self) -> None:
        """The end of ``hold``, in parent and child."""
        self._lock.release()

    def _next(self) -> Callable[[], object]:
        try:
            return self._put_off.popleft()
        except IndexError:  # another thread that left the section did it
            return _nothing


def _nothing() -> None:
    pass
