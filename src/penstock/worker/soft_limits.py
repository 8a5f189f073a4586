"""Soft time limits of plain functions: SoftTimeLimitExceeded, raised in the task and nobody else.

In the main thread of a process a signal tells (:class:`SignalLimit`); it reaches a task that waits
for the system, too. In other threads one more thread keeps the time (:class:`ThreadLimits`) and
has the exception raised at the task's next bytecode. :mod:`penstock.worker.loop_limits` is for
coroutines.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType, TracebackType
from typing import Any

from penstock.errors import SoftTimeLimitExceeded
from penstock.worker.channel import ExecutorChannel
from penstock.worker.protocol import FromExecutor

__all__ = ["SignalLimit", "ThreadLimits"]


_UNLIMITED = nullcontext()


class SignalLimit:
    """Raises SoftTimeLimitExceeded in the task that is over its limit.

    The signal may arrive after its task returned: it is only heeded while a task runs whose own
    limit has passed. Main thread only. It is the outlet of its executor, too: what the task sends
    through it leaves whole before the exception is raised.
    """

    def __init__(self, channel: ExecutorChannel) -> None:
        self._channel = channel
        self._ends_at: float | None = None
        self._limit: float | None = None
        self._sending = self._late = False

    def heed(self) -> None:
        """From now on the signal means the soft limit."""
        signal.signal(signal.SIGUSR1, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._ends_at is None or time.monotonic() < self._ends_at:
            return
        if self._sending:  # half a reply would make all that follow it unreadable
            self._late = True
        else:
            self._raise()

    def _raise(self) -> None:
        self._ends_at = None
        raise SoftTimeLimitExceeded(self._limit)

    def send(self, value: FromExecutor) -> None:
        """Send a reply at once, whole."""
        self._sending = True
        try:
            self._channel.send(value)
        finally:
            self._sending = False
        if self._late:
            self._late = False
            if self._ends_at is not None:
                self._raise()

    def over(self, limit: float | None) -> AbstractContextManager[Any]:
        """The time in which a task's own function runs."""
        return _UNLIMITED if limit is None else self._within(limit)

    @contextmanager
    def _within(self, limit: float) -> Iterator[None]:
        self._limit = limit
        # The supervisor counts from when it heard of the start, so a little later than this.
        self._ends_at = time.monotonic() + limit
        try:
            yield
        finally:
            self._ends_at = None


class ThreadLimits:
    """The same for functions on any thread of this process.

    A thread that waits in the system, or in C code, is reached once it is back in Python. The
    thread that keeps the time is started with the first limit.
    """

    def __init__(self) -> None:
        # Thread -> its watch. Whoever takes a watch out decides: the task's own thread, and it is
        # over in time; the keeper, and it raises.
        self._watches: dict[int, _Watch] = {}
        self._looks_at = float("inf")  # when the keeper looks again (monotonic)
        self._changed = threading.Condition()
        self._keeper: threading.Thread | None = None

    def over(self, limit: float | None) -> AbstractContextManager[Any]:
        """The time in which a task's own function runs."""
        return _UNLIMITED if limit is None else _Watch(self, limit)

    def begin(self, watch: _Watch) -> None:
        """Keep the time of the calling thread."""
        with self._changed:
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, daemon=True, name="time-limits")
                self._keeper.start()
            self._watches[watch.thread] = watch
            if watch.ends_at < self._looks_at:
                self._changed.notify()

    def end(self, watch: _Watch) -> None:
        """After this the exception cannot arrive any more; unless it is raised in this very call.

        It is sent in one step with nothing between: so it has been sent, or never will be.
        """
        if not self._taken(watch):
            watch.sent.acquire()
            _raise_in(watch.thread, None)  # where it has not arrived it is taken back

    def _keep(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for watch in list(self._watches.values()):
                    if watch.ends_at <= now and self._taken(watch):
                        _raise_in(watch.thread, SoftTimeLimitExceeded)
                        watch.sent.release()
                ends = [watch.ends_at for watch in list(self._watches.values())]
                self._looks_at = min(ends, default=float("inf"))
                self._changed.wait(self._looks_at - now if ends else None)

    def _taken(self, watch: _Watch) -> bool:
        """Take it out, in one step; False where it was taken out already."""
        return self._watches.pop(watch.thread, None) is not None


class _Watch:
    """One run of a function on one thread."""

    def __init__(self, limits: ThreadLimits, limit: float) -> None:
        self._limits = limits
        self._limit = limit
        self.thread = 0
        self.ends_at = 0.0  # monotonic
        self.sent = threading.Lock()  # free once the exception is on its way
        self.sent.acquire()

    def __enter__(self) -> None:
        self.thread = threading.get_ident()
        self.ends_at = time.monotonic() + self._limit
        self._limits.begin(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:  # noqa: SIM105 - entering another context would be more steps for it to arrive in
            self._limits.end(self)
        except SoftTimeLimitExceeded:
            pass  # the function had ended before it arrived: what it gave stands
        if isinstance(error, SoftTimeLimitExceeded) and not error.args:
            error.args = (self._limit,)  # the interpreter takes a class only, and makes it bare


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Have an exception raised in a thread at its next bytecode; None: the one on its way not."""
    raised = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)
