"""What tasks do with a queue between processes: each call of the other kind, awaited."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from penstock.errors import Full, ShutDown

if TYPE_CHECKING:
    from penstock.queues._core._ring import Ring
    from penstock.queues.readiness import Readiness, What
else:

    class Ring:
        """Only type checkers know it here: the queue's core comes behind this in its bases."""


__all__ = ["Awaited"]

T = TypeVar("T")
R = TypeVar("R")

_BATCH = 256  # so many items at once, where trying again means to pickle them again


class Awaited(Ring, Generic[T]):
    """The awaiting methods of a queue, which comes behind this in its bases.

    A call tries in the event loop, and waits there when it must; a thread then only watches.
    """

    _readiness: dict[int, Readiness]  # by process: a forked child begins anew

    async def aput(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """The same as ``put`` in a task. If it is cancelled while it waits, nothing was put."""
        await self._soon("space", lambda: self.put(item, block=False), block, timeout)

    async def aget(self, block: bool = True, timeout: float | None = None) -> T:
        """The same as ``get`` in a task. If it is cancelled while it waits, nothing was taken."""
        return await self._soon("items", lambda: self.get(block=False), block, timeout)

    async def aget_many(
        self, limit: int, block: bool = True, timeout: float | None = None
    ) -> list[T]:
        """The same as ``get_many`` in a task."""
        return await self._soon("items", lambda: self.get_many(limit, block=False), block, timeout)

    async def aput_many(
        self, items: Iterable[T], block: bool = True, timeout: float | None = None
    ) -> int:
        """The same as ``put_many`` in a task. If it is cancelled, the first ones may be in."""
        todo = tuple(items)
        count = 0

        def attempt() -> int:
            return self.put_many(todo[count : count + _BATCH], block=False)

        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while count < len(todo):
                count += await self._soon("space", attempt, block, timeout)
                if deadline is not None:
                    timeout = max(0.0, deadline - time.monotonic())
        except (Full, ShutDown):
            if not count:
                raise
        return count

    async def ajoin(self) -> None:
        """The same as ``join`` in a task."""
        await self._soon("done", self._check_done, block=True, timeout=None)

    def _check_done(self) -> None:
        from penstock.queues.readiness import NotYet

        if not self.join(0):
            raise NotYet

    async def _soon(
        self, what: What, attempt: Callable[[], R], block: bool, timeout: float | None
    ) -> R:
        if not block:
            return attempt()
        if timeout is not None and not timeout >= 0:
            raise ValueError("'timeout' must be a non-negative number")
        return await self._waiting().first(what, attempt, timeout)

    def _waiting(self) -> Readiness:
        from penstock.queues.readiness import Readiness

        pid = os.getpid()
        return self._readiness.get(pid) or self._readiness.setdefault(pid, Readiness(self))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.aget()
        except ShutDown:
            raise StopAsyncIteration from None

    def _end_waiting(self) -> None:
        """The threads end, and the tasks that wait are told that it is closed."""
        waiting = vars(self).get("_readiness", {}).get(os.getpid())
        if waiting is not None:
            waiting.close()
