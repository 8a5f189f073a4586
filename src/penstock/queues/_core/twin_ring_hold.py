"""One process's hold on the ring of the Python twin: getting inside, waiting, letting go.

Whoever must wait looks again after a nap, a longer one each time: nothing needs to be woken, so
nothing is lost when somebody dies.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar
from weakref import WeakSet

from penstock.queues._core.twin_ring_memory import Memory, Timeout
from penstock.queues._core.twin_ring_state import State

__all__ = ["NOW", "Hold", "deadline_of"]

R = TypeVar("R")

NOW = float("-inf")
_FIRST_NAP = 0.0001
_LONGEST_NAP = 0.01
_PATIENCE = 0.1  # seconds: who has no time left still gets one try, past those who are inside


def deadline_of(block: bool, timeout: float | None) -> float:
    """When to give up. Raises ValueError for a timeout that cannot be."""
    if not block:
        return NOW
    if timeout is None:
        return float("inf")
    if not timeout >= 0:  # as it is for what is no number at all
        raise ValueError("'timeout' must be a non-negative number")
    return time.monotonic() + timeout


class Hold:
    """What a process needs to use the ring; any thread may."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.state = State(memory)
        self.closed = False
        self._stops = 0
        self._stopped = threading.Event()
        _holds.add(self)

    def check_open(self) -> None:
        """Raises ValueError when it was closed."""
        if self.closed:
            raise ValueError("this queue is closed in this process")

    def inside(self, body: Callable[[State], R], deadline: float | None = None) -> R:
        """What the body makes of the state, which it has for itself; this process has a slot."""
        self.check_open()

        def with_slot() -> R:
            self.check_open()
            self.state.claim()
            return body(self.state)

        return self.memory.inside(with_slot, deadline)

    def until(
        self, attempt: Callable[[], R], deadline: float, who: int, *, interruptible: bool = False
    ) -> R | None:
        """What the attempt gives, once that is true, or the last time before the deadline.

        None when there was no time at all. ``who`` is counted as waiting, where it is not 0.
        """
        stops, stopped = self._stops, self._stopped
        result = self._try(attempt, deadline)
        if result or deadline == NOW:
            return result
        nap = _FIRST_NAP
        with self._counted(who):
            while not result and not (interruptible and self._stops != stops):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                stopped.wait(min(nap, left))
                stopped = self._stopped
                nap = min(2 * nap, _LONGEST_NAP)
                result = self._try(attempt, deadline)
        return result

    def _try(self, attempt: Callable[[], R], deadline: float) -> R | None:
        """None when another process, which was stopped perhaps, is inside all the time."""
        patience = None if deadline == NOW else max(deadline, time.monotonic() + _PATIENCE)
        try:
            return self.inside(lambda _: attempt(), patience)
        except Timeout:
            return None

    @contextmanager
    def _counted(self, who: int) -> Iterator[None]:
        if not who:
            yield
            return
        slot = self.inside(partial(_count, who=who))
        try:
            yield
        finally:
            with suppress(ValueError):  # closed: the slot is free
                self.inside(partial(_uncount, who=who, slot=slot))

    def interrupt(self) -> None:
        """Ends what waits interruptibly."""
        self.check_open()
        self._stops += 1
        self._stopped.set()
        self._stopped = threading.Event()

    def close(self) -> None:
        """Let go; calls of other threads end with ValueError."""
        if self.closed:
            return
        with suppress(ValueError):  # another thread closed it meanwhile
            self.memory.inside(self._leave)
        self._stopped.set()
        self.memory.close()

    def _leave(self) -> None:
        self.closed = True
        self.state.leave()

    def forked(self) -> None:
        """In a forked child: it holds the ring for itself."""
        self.memory.forked()
        self.state.slot = 0
        self._stopped = threading.Event()


def _count(state: State, who: int) -> int:
    """The slot in which it is counted."""
    state.add({state.slot + who: 1})
    return state.slot


def _uncount(state: State, who: int, slot: int) -> None:
    if slot == state.slot:
        state.add({slot + who: -1})


# A fork leaves the child with locks that its parent's threads may hold, and with a share in the
# parent's file lock, which would outlive the parent.
_holds: WeakSet[Hold] = WeakSet()


def _forked() -> None:
    for hold in list(_holds):
        hold.forked()


os.register_at_fork(after_in_child=_forked)
