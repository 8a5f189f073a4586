"""How tasks wait for a queue between processes.

A task tries by itself, in its event loop, whatever it wants to put or take; only when that fails
it waits until trying again makes sense. For that a thread waits at the ring: it takes nothing, so
a task that is cancelled while it waits has neither lost nor duplicated anything, and the thread
can be given up at any time. The tasks of one loop try in the order in which they came.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeVar
from weakref import WeakKeyDictionary, ref

from penstock.errors import Empty, Full
from penstock.queues.waiters import Bells, Sleeper

if TYPE_CHECKING:
    from penstock.queues._core._ring import Ring

__all__ = ["NotYet", "Readiness", "What"]

What = Literal["items", "space", "done"]
_WHATS: tuple[What, ...] = ("items", "space", "done")
R = TypeVar("R")

_SLICE = 1.0  # seconds that a thread waits for nobody before it notices
_IDLE = 1.0  # seconds without work after which a thread ends
_GOODBYE = 5.0


class NotYet(Exception):
    """Trying failed for want of what is awaited."""


_NOT_YET = (Empty, Full, NotYet)


class Readiness:
    """The tasks of this process that wait for one ring, and the threads that watch it for them."""

    def __init__(self, ring: Ring) -> None:
        self._bells = Bells()
        self._lines = {what: Lines(Watch(ring, what)) for what in _WHATS}

    async def first(self, what: What, attempt: Callable[[], R], timeout: float | None) -> R:
        """What the attempt gives, as soon as it raises neither Empty nor Full nor NotYet.

        When the time (seconds) is over, what it raises then.
        """
        lines = self._lines[what]
        line = lines.of(asyncio.get_running_loop())
        if not line:
            with suppress(*_NOT_YET):
                return attempt()
        sleeper = Sleeper(self._bells, timeout)
        line.append(sleeper)
        try:
            return await _in_turn(lines.watch, line, sleeper, attempt)
        finally:
            lines.watch.forget(sleeper)
            was_first = line[0] is sleeper
            line.remove(sleeper)
            if was_first and line:
                line[0].wake()

    def close(self) -> None:
        """End the threads; tasks that wait try once more, and find out why."""
        for line in self._lines.values():
            line.watch.close()


async def _in_turn(
    watch: Watch, line: deque[Sleeper], sleeper: Sleeper, attempt: Callable[[], R]
) -> R:
    if line[0] is sleeper:  # then it was tried just now
        watch.tell(sleeper)
    while await sleeper.sleep():
        with suppress(*_NOT_YET):
            return attempt()
        watch.tell(sleeper)
    return attempt()  # one last look


class Lines:
    """The tasks that wait for one thing, by loop: one that stands still must hold up no other."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[Sleeper]] = (
            WeakKeyDictionary()
        )

    def of(self, loop: asyncio.AbstractEventLoop) -> deque[Sleeper]:
        """Its tasks, in the order in which they came; only that loop's thread touches them."""
        return self._lines.setdefault(loop, deque())


class Watch:
    """A thread that waits until the ring is ready and then wakes who asked: while anybody asks."""

    def __init__(self, ring: Ring, what: What) -> None:
        self._ring = ref(ring)  # it has us
        self._what = what
        self._changed = threading.Condition()
        # Guarded by _changed:
        self._asking: list[Sleeper] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    def tell(self, sleeper: Sleeper) -> None:
        """Wake it when the ring is ready."""
        with self._changed:
            if self._closed:
                raise ValueError("this queue is closed in this process")
            self._asking.append(sleeper)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"penstock-{self._what}", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def forget(self, sleeper: Sleeper) -> None:
        """It does not wait any more."""
        with self._changed, suppress(ValueError):  # it was not asking
            self._asking.remove(sleeper)

    def close(self) -> None:
        """End the thread, and wake all who asked."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify()
        ring = self._ring()
        if thread is not None and thread is not threading.current_thread():
            if ring is not None:
                ring.interrupt()
            thread.join(_GOODBYE)
        self._wake_all()

    def _run(self) -> None:
        while self._is_wanted():
            if self._is_ready():
                self._wake_all()

    def _is_wanted(self) -> bool:
        with self._changed:
            if not self._asking and not self._closed:
                self._changed.wait(_IDLE)
            if self._asking and not self._closed:
                return True
            self._thread = None
            return False

    def _is_ready(self) -> bool:
        ring = self._ring()
        try:
            return ring is None or ring.wait(self._what, _SLICE)
        except (ValueError, OSError):  # closed, damaged: who tries is told
            return True

    def _wake_all(self) -> None:
        with self._changed:
            asking, self._asking = self._asking, []
        for sleeper in asking:
            sleeper.wake()
