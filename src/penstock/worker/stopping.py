"""INT and TERM, as something the supervisor's loop can wait for and count."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType

__all__ = ["StopSignals"]


class StopSignals:
    """Counts INT and TERM from its making on. To be made in the main thread."""

    def __init__(self) -> None:
        self._count = 0
        self.code: int | None = None  # the exit code, where the worker itself wants to end
        self.again = False  # to begin anew instead of ending
        self.on_second: Callable[[], None] | None = None  # called in the signal handler
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Written by the C handler. Python's own runs between two steps of the main thread, and one
        # that came just before that thread went to sleep would be noted only when it wakes.
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        self.again = False
        if self._count > 1 and self.on_second is not None:
            self.on_second()
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._write, b"!")
        except BlockingIOError:  # the pipe is full of signals: one that is unread is enough
            return

    @property
    def asked(self) -> bool:
        """True once it was told to stop; for other threads, too."""
        return self._count > 0

    def begin_again(self) -> None:
        """As the first signal, but the worker starts anew then. For any thread."""
        self.again = True
        self._count = max(1, self._count)
        self._wake()

    def give_up(self, code: int) -> None:
        """As the second signal, with that exit code. For any thread."""
        self.code = code
        self._count = max(2, self._count)
        self._wake()

    def fileno(self) -> int:
        """Readable when a signal came."""
        return self._read

    def count(self) -> int:
        """How many came so far; what was readable is not any more."""
        with contextlib.suppress(BlockingIOError):  # asked without need
            os.read(self._read, 4096)
        return self._count
