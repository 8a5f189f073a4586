"""What engines on a blocking client library share: awaiting callers get threads, waiters get bells.

A subclass says how one exchange is carried out. Bells ring within this process only: who waits for
what another process does looks again from time to time, or has its engine told.
"""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import Executor
from typing import Any

from penstock.engines.memory_bells import Bells, ahear
from penstock.plan import Command, Exchange, Listen, Listener

__all__ = ["BlockingEngine"]

_THREADS = 8  # for awaiting callers


class BlockingEngine:
    """Thread-, loop- and fork-safe: a forked child begins with nothing of its parent's."""

    NAME = "penstock-engine"  # of its threads

    def __init__(self) -> None:
        self.start_afresh()
        _engines.add(self)

    def start_afresh(self) -> None:
        """Begin without connections, threads and listeners: at first, and in a forked child."""
        self._lock = threading.Lock()
        self._executor: Executor | None = None
        self.bells = Bells()

    def run(self, exchange: Exchange) -> Any:
        """Carry out one exchange; what a subclass writes."""
        raise NotImplementedError

    def listen(self, bells: tuple[str, ...]) -> Listener:
        """A listener for these bells."""
        return self.bells.listen(bells)

    def execute(self, command: Command) -> Any:
        """Carry it out, blocking."""
        if isinstance(command, Exchange):
            reply = self.run(command)
            self.bells.ring(command.rings)
            return reply
        if isinstance(command, Listen):
            return self.listen(command.bells)
        return command.listener.wait(command.timeout)

    async def aexecute(self, command: Command) -> Any:
        """Carry it out on a thread; a wait takes none."""
        if isinstance(command, Exchange | Listen):
            import asyncio

            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads(), self.execute, command)
        return await ahear(command.listener, command.timeout)

    def _threads(self) -> Executor:
        with self._lock:
            if self._executor is None:
                from concurrent.futures import ThreadPoolExecutor

                self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix=self.NAME)
            return self._executor

    def close(self) -> None:
        """Give threads up; they are made again when needed."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)


_engines: weakref.WeakSet[BlockingEngine] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in list(_engines):
        engine.bells.forsake()
        engine.start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
