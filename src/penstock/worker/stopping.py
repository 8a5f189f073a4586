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
        self.on_second: Callable[[], None] | None = None  # called in the signal handler
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1 and self.on_second is not None:
            self.on_second()
        try:
            os.write(self._write, b"!")
        except BlockingIOError:  # the pipe is full of signals: one that is unread is enough
            return

    def fileno(self) -> int:
        """Readable when a signal came."""
        return self._read

    def count(self) -> int:
        """How many came so far; what was readable is not any more."""
        with contextlib.suppress(BlockingIOError):  # asked without need
            os.read(self._read, 4096)
        return self._count
