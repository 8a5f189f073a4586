"""Pools: how an executor process runs what it is handed. Each is a function that serves to the end.

prefork: one task at a time, in the main thread; ``async def`` tasks on one loop for life.
threads: so many threads, each taking its next task by itself.
asyncio: so many tasks at once on one loop; plain functions on threads beside it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.tasks.outcome import Outcome
from penstock.tasks.run import Minder
from penstock.worker.channel import ExecutorChannel
from penstock.worker.executor import Executor, Outlet
from penstock.worker.memory import resident
from penstock.worker.protocol import Hand, Leaving
from penstock.worker.soft_limits import SignalLimit, ThreadLimits

if TYPE_CHECKING:
    import asyncio

__all__ = ["SERVE", "Serve", "Serving", "Share"]

Serve = Callable[["Serving"], None]


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How much one process may do before it is replaced; None: any amount."""

    tasks: int | None = None
    memory: int | None = None  # KiB


class Serving:
    """One executor process at work: its channel, and how much it may still do."""

    def __init__(
        self,
        make_executor: Callable[[Outlet], Executor],
        channel: ExecutorChannel,
        *,
        at_once: int,
        share: Share,
    ) -> None:
        self.make_executor = make_executor
        self.channel = channel
        self.at_once = at_once
        self._share = share
        self._numbers = itertools.count(1)  # counting is one step, also for several threads
        self._began = False

    def receive(self) -> Hand | None:
        """Block for the next task; None when there is none any more, or when it did its share."""
        return None if self.too_large() else self.count(self.channel.receive())

    def too_large(self) -> bool:
        """Asked before each task; True (and told) where the process takes too much memory.

        Not before its first: an app that is larger than its limit would never run one.
        """
        limit = self._share.memory
        if limit is None or not self._began or resident() <= limit:
            return False
        self.channel.send(Leaving())
        return True

    def count(self, hand: Hand | None) -> Hand | None:
        """Count a task that was received; the last one of its share is told as such."""
        self._began = True
        if hand is not None and next(self._numbers) == self._share.tasks:
            self.channel.send(Leaving())
        return hand


def serve_prefork(serving: Serving) -> None:
    """One task at a time."""
    soft = SignalLimit(serving.channel)
    soft.heed()
    executor = serving.make_executor(soft)
    loop = _LifelongLoop()
    executor.start()
    while (hand := serving.receive()) is not None:
        guard = partial(soft.over, hand.soft)
        executor.run(hand, runner=loop.run, guard=guard, minder=_minder(hand))
    loop.close()
    executor.stop()


def _minder(hand: Hand) -> Minder | None:
    """What awaits the coroutine of an ``async def`` task under its soft limit."""
    if hand.soft is None:
        return None
    from penstock.worker.loop_limits import within

    return partial(within, hand.soft)


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
    executor = serving.make_executor(serving.channel)
    limits = ThreadLimits()
    executor.start()
    threads = [
        threading.Thread(
            target=_serve_one_thread, args=(serving, executor, limits), name=f"task-{number}"
        )
        for number in range(serving.at_once)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    executor.stop()


def _serve_one_thread(serving: Serving, executor: Executor, limits: ThreadLimits) -> None:
    while (hand := serving.receive()) is not None:
        executor.run(hand, guard=partial(limits.over, hand.soft), minder=_minder(hand))


def serve_asyncio(serving: Serving) -> None:
    """So many tasks at once on one loop."""
    import asyncio

    executor = serving.make_executor(serving.channel)
    asyncio.run(_serve_loop(serving, executor))
    executor.stop()


async def _serve_loop(serving: Serving, executor: Executor) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    at_once, limits = serving.at_once, ThreadLimits()
    executor.start()
    with ThreadPoolExecutor(at_once, thread_name_prefix="task") as threads:
        free = asyncio.Semaphore(at_once)

        async def run(hand: Hand) -> None:
            guard = partial(limits.over, hand.soft)  # for plain functions, on their threads
            try:
                await executor.arun(hand, threads=threads, guard=guard, minder=_minder(hand))
            finally:
                free.release()

        async with asyncio.TaskGroup() as tasks:
            while True:
                await free.acquire()
                hand = await _next(serving)
                if hand is None:
                    return
                tasks.create_task(run(hand))


async def _next(serving: Serving) -> Hand | None:
    """The next task without holding up the loop; only called while a task may begin."""
    import asyncio

    loop = asyncio.get_running_loop()
    if serving.too_large():
        return None
    while True:
        try:
            return serving.count(serving.channel.receive_now())
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
