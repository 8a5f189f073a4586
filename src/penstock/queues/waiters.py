"""How tasks wait: one wake-up of an event loop for all of its tasks that are due."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from weakref import WeakKeyDictionary

__all__ = ["Bells", "Sleeper"]


class Sleeper:
    """One task's wait in a queue, begun in its event loop, for at most ``timeout`` seconds."""

    __slots__ = ("_alarm", "_bell", "_deadline", "_due", "loop", "thread")

    _alarm: asyncio.Future[None] | None

    def __init__(self, bells: Bells, timeout: float | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self._bell = bells.of(self.loop)
        self._deadline = None if timeout is None else self.loop.time() + timeout
        self._alarm = None  # while it sleeps
        self._due = False

    def wake(self) -> bool:
        """Make ``sleep`` return; from any thread. False when the loop is closed."""
        return self._bell.ring(self)

    def rouse(self) -> None:
        """The same, from within the loop."""
        self._due = True
        self._ring_alarm()

    async def sleep(self) -> bool:
        """Until ``wake`` is called, or was called since the last time; false when time is over."""
        if not self._due:
            alarm = self._alarm = self.loop.create_future()
            await (alarm if self._deadline is None else self._sleep_until(alarm, self._deadline))
        due, self._due = self._due, False
        return due

    async def _sleep_until(self, alarm: asyncio.Future[None], deadline: float) -> None:
        timer = self.loop.call_at(deadline, self._ring_alarm)
        try:
            await alarm
        finally:
            timer.cancel()

    def _ring_alarm(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)


class Bell:
    """The sleepers of one loop that are due, in the order in which they became so.

    No lock: a sleeper is added before the flag is looked at, and the flag is taken down before the
    sleepers are roused. So threads, signal handlers and destructors may ring at any moment.
    """

    def __init__(self) -> None:
        self._due: deque[Sleeper] = deque()
        self._rung = False

    def ring(self, sleeper: Sleeper) -> bool:
        """Rouse it soon."""
        self._due.append(sleeper)
        if sleeper.thread == threading.get_ident() and asyncio.current_task(sleeper.loop):
            # A task of this very loop runs us, so the loop does not sleep, and looks round next.
            self.rouse_all()
            return True
        return self._rung or self._call(sleeper.loop)

    def _call(self, loop: asyncio.AbstractEventLoop) -> bool:
        self._rung = True
        try:
            loop.call_soon_threadsafe(self.rouse_all)
        except RuntimeError:  # the loop is closed: its tasks will never run again
            self._due.clear()
            self._rung = False
            return False
        except BaseException:  # a signal handler raised: the next ring must not rely on this one
            self._rung = False
            raise
        return True

    def rouse_all(self) -> None:
        """In the loop: all who are due."""
        self._rung = False
        while self._due:
            self._due.popleft().rouse()


class Bells:
    """The bells of one queue: one for each loop whose tasks ever waited in it."""

    def __init__(self) -> None:
        self._bells: WeakKeyDictionary[asyncio.AbstractEventLoop, Bell] = WeakKeyDictionary()

    def of(self, loop: asyncio.AbstractEventLoop) -> Bell:
        """The bell of this loop."""
        bell = self._bells.get(loop)
        return self._bells.setdefault(loop, Bell()) if bell is None else bell
