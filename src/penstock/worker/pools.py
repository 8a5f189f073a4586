"""Pools: how an executor process runs what it is handed. Each is a function that serves to the end.

prefork: one task at a time, in the main thread; ``async def`` tasks on one loop for life.
threads: so many threads, each taking its next task by itself.
asyncio: so many tasks at once on one loop; plain functions on threads beside it.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from penstock.errors import SoftTimeLimitExceeded
from penstock.tasks.outcome import Outcome
from penstock.worker.channel import ExecutorChannel
from penstock.worker.executor import Executor
from penstock.worker.protocol import Hand, Leaving

if TYPE_CHECKING:
    import asyncio

__all__ = ["SERVE", "Serve", "Serving"]

Serve = Callable[["Serving"], None]


class Serving:
    """One executor process at work: its channel, and how many tasks it may still take."""

    def __init__(
        self, executor: Executor, channel: ExecutorChannel, *, at_once: int, most: int | None
    ) -> None:
        self.executor = executor
        self.channel = channel
        self.at_once = at_once
        self._most = most
        self._asked = itertools.count(1)  # counting is one step, also for several threads

    def receive(self) -> Hand | None:
        """Block for the next task; None when there is none any more, or when it ran its share."""
        return None if self.spent() else self.channel.receive()

    def spent(self) -> bool:
        """Count one task that is about to be taken; True (and told) once the share is used up."""
        if self._most is None or next(self._asked) <= self._most:
            return False
        self.channel.send(Leaving())
        return True


class SoftLimit:
    """Raises SoftTimeLimitExceeded in the task that is over its limit, and in nobody else.

    The signal may arrive after its task returned: it is only heeded while a task runs whose own
    limit has passed. Main thread only.
    """

    def __init__(self) -> None:
        self._ends_at: float | None = None
        self._limit: float | None = None

    def heed(self) -> None:
        """From now on the signal means the soft limit."""
        signal.signal(signal.SIGUSR1, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            self._ends_at = None
            raise SoftTimeLimitExceeded(self._limit)

    @contextmanager
    def over(self, limit: float | None) -> Iterator[None]:
        """The time in which a task's own function runs."""
        self._limit = limit
        # The supervisor counts from when it heard of the start, so a little later than this.
        self._ends_at = None if limit is None else time.monotonic() + limit
        try:
            yield
        finally:
            self._ends_at = None


def serve_prefork(serving: Serving) -> None:
    """One task at a time."""
    executor = serving.executor
    soft = SoftLimit()
    soft.heed()
    loop = _LifelongLoop()
    executor.start()
    while (hand := serving.receive()) is not None:
        executor.run(hand, runner=loop.run, guard=partial(soft.over, hand.soft))
    loop.close()
    executor.stop()


class _LifelongLoop:
    """One event loop for all coroutines of this process, made when the first comes."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, coroutine: Coroutine[Any, Any, Outcome]) -> Outcome:
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()


def serve_threads(serving: Serving) -> None:
    """So many threads; the kernel gives each packet to one of them."""
    serving.executor.start()
    threads = [
        threading.Thread(target=_serve_one_thread, args=(serving,), name=f"task-{number}")
        for number in range(serving.at_once)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    serving.executor.stop()


def _serve_one_thread(serving: Serving) -> None:
    while (hand := serving.receive()) is not None:
        serving.executor.run(hand, guard=nullcontext)


def serve_asyncio(serving: Serving) -> None:
    """So many tasks at once on one loop."""
    import asyncio

    asyncio.run(_serve_loop(serving))
    serving.executor.stop()


async def _serve_loop(serving: Serving) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    executor, at_once = serving.executor, serving.at_once
    executor.start()
    with ThreadPoolExecutor(at_once, thread_name_prefix="task") as threads:
        free = asyncio.Semaphore(at_once)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await free.acquire()
                hand = await _next(serving)
                if hand is None:
                    return
                tasks.create_task(_run(executor, hand, threads, free))


async def _run(executor: Executor, hand: Hand, threads: Any, free: asyncio.Semaphore) -> None:
    try:
        await executor.arun(hand, threads=threads)
    finally:
        free.release()


async def _next(serving: Serving) -> Hand | None:
    """The next task without holding up the loop; only called while a task may begin."""
    import asyncio

    loop = asyncio.get_running_loop()
    if serving.spent():
        return None
    while True:
        try:
            return serving.channel.receive_now()
        except BlockingIOError:
            ready = asyncio.Event()
            loop.add_reader(serving.channel.tasks, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(serving.channel.tasks)


SERVE: dict[str, Serve] = {
    "prefork": serve_prefork,
    "threads": serve_threads,
    "asyncio": serve_asyncio,
}
