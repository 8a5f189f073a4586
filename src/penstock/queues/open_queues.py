"""Queues are closed when their process ends, in whichever way it ends by itself.

So their names go with the last who has them, and what a process had in hand counts as done and
not as lost. Who is killed leaves that to the others.
"""

from __future__ import annotations

import atexit
import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["OpenQueues"]

_AFTER_CHILDREN = -5  # multiprocessing then has waited for a process's children


class _Closing(Protocol):
    def close_at_exit(self) -> None: ...


class OpenQueues:
    """Those of this process."""

    def __init__(self) -> None:
        self._queues: WeakSet[_Closing] = WeakSet()
        self._pid = 0

    def add(self, queue: _Closing) -> None:
        """Close it at the end, if it is still there."""
        self._queues.add(queue)
        if self._pid != os.getpid():
            from multiprocessing import util

            atexit.register(self.close)
            util.register_after_fork(self, OpenQueues._watch)
            self._watch()

    def _watch(self) -> None:
        """Processes of multiprocessing leave without the interpreter's own way to say so."""
        from multiprocessing import util

        self._pid = os.getpid()
        util.Finalize(None, self.close, exitpriority=_AFTER_CHILDREN)

    def close(self) -> None:
        """The process ends."""
        for queue in list(self._queues):
            queue.close_at_exit()
