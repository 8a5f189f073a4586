"""The awaiting twins of a broker on ZooKeeper, whose client library is blocking: on threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

from penstock.brokers.base import Broker
from penstock.clock import Clock
from penstock.engines.memory_bells import ahear
from penstock.errors import Unavailable, Uncertain
from penstock.message import Again, Lease, Message, Settlement
from penstock.plan import Listener

__all__ = ["LONGEST_WAIT", "ZooKeeperAwaiting"]

R = TypeVar("R")

LONGEST_WAIT = 30.0  # seconds: look again after so long, should anything be lost
_THREADS = 8


class ZooKeeperAwaiting(Broker):
    """What coroutines use. A forked child gets threads of its own."""

    _clock: Clock

    def __init__(self) -> None:
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._threads_of = os.getpid()
        self._lock = threading.Lock()
        self._executor: Executor | None = None

    def _close_threads(self) -> None:
        if self._threads_of != os.getpid():
            self._start_afresh()
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    @abstractmethod
    def _claim(
        self, queues: Sequence[str], limit: int, ttl: float
    ) -> tuple[list[Lease], float | None]:
        """Leases, and without any the seconds until there may be one."""

    def _on_a_thread(self, call: Callable[[], R]) -> Future[R]:
        if self._threads_of != os.getpid():  # threads do not come along to a forked child
            self._start_afresh()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(
                    _THREADS, thread_name_prefix="penstock-zookeeper"
                )
            return self._executor.submit(call)

    async def apublish(self, messages: Sequence[Message]) -> None:
        await asyncio.wrap_future(self._on_a_thread(lambda: self.publish(messages)))

    async def aextend(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        return await asyncio.wrap_future(self._on_a_thread(lambda: self.extend(leases, ttl)))

    async def asettle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        return await asyncio.wrap_future(self._on_a_thread(lambda: self.settle(settlements)))

    async def alease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        leases, _ = await self._aclaim(queues, limit, ttl)
        if leases or wait <= 0 or limit <= 0 or not queues:
            return leases
        deadline = self._clock.monotonic() + wait
        listening = self._on_a_thread(lambda: self.listen(queues))
        try:
            listener = await asyncio.wrap_future(listening)
        except asyncio.CancelledError:
            listening.add_done_callback(_close_late)
            raise
        try:
            while True:
                leases, due = await self._aclaim(queues, limit, ttl)
                left = deadline - self._clock.monotonic()
                if leases or left <= 0:
                    return leases
                await ahear(listener, min(left, LONGEST_WAIT if due is None else due))
        finally:
            listener.close()

    async def _aclaim(
        self, queues: Sequence[str], limit: int, ttl: float
    ) -> tuple[list[Lease], float | None]:
        claiming = self._on_a_thread(lambda: self._claim(queues, limit, ttl))
        try:
            return await asyncio.wrap_future(claiming)
        except asyncio.CancelledError:  # what it claims, or has claimed, nobody would work on
            claiming.add_done_callback(self._hand_back_late)
            raise

    def _hand_back_late(self, claiming: Future[tuple[list[Lease], float | None]]) -> None:
        if claiming.cancelled() or claiming.exception() is not None:
            return
        leases, _ = claiming.result()
        if leases:
            with contextlib.suppress(Unavailable, Uncertain):  # then they run out
                self.settle([Again(lease, lease.message) for lease in leases])


def _close_late(listening: Future[Listener]) -> None:
    if not listening.cancelled() and listening.exception() is None:
        listening.result().close()
