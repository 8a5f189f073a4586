"""Queues between the threads and the tasks of one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

from penstock._core.choice import core
from penstock.errors import ConfigError, Empty, Full, ShutDown

if TYPE_CHECKING:
    from penstock.queues._core._items import Items, Waiter
    from penstock.queues.waiters import Bells
else:
    _items = core("penstock.queues._core", "_items", "twin_items")
    Items, Waiter = _items.Items, _items.Waiter

__all__ = ["LifoQueue", "PriorityQueue", "Queue"]

T = TypeVar("T")
R = TypeVar("R")

_HOOKS = frozenset({"_init", "_put", "_get", "_qsize"})
_BATCH = 256  # so many items at once, while there is room


class Queue(Items[T]):
    """First in, first out; for any number of threads and of tasks in any number of event loops.

    The methods are those of :class:`queue.Queue`, with ``aput``, ``aget`` and ``ajoin`` for tasks;
    ``for item in queue`` and ``async for`` go on until it is shut down. Whoever waits is served in
    the order of arrival. A call that was cancelled or interrupted, or whose time was over, has
    neither put nor taken anything.

    ``match`` is asked about one item after the other by whoever gave it, in that thread; what it
    refuses stays where it is, and goes to the next who waits. What it raises is raised there.
    """

    _order: ClassVar[Literal["fifo", "lifo", "heap"]] = "fifo"
    _bells: Bells | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        hooks = sorted(_HOOKS & vars(cls).keys())
        if hooks:
            raise TypeError(
                f"{cls.__name__} defines {', '.join(hooks)}, which penstock's queues do not call: "
                "use LifoQueue or PriorityQueue, get(match=...), or override put and get"
            )

    def __repr__(self) -> str:
        facts = self.statistics()
        waiting = sum(facts[f"waiting_{who}"] for who in ("getters", "putters", "joiners"))
        return (
            f"<{type(self).__name__} at {id(self):#x}: {facts['size']} items, "
            f"maxsize {facts['maxsize']}, {facts['unfinished']} unfinished, {waiting} waiting"
            f"{', shut down' if facts['shutdown'] else ''}>"
        )

    async def aget(
        self,
        block: bool = True,
        timeout: float | None = None,
        *,
        match: Callable[[T], object] | None = None,
    ) -> T:
        """The same as ``get`` in a task; the predicate runs in the thread of its loop."""
        if not block:
            return self.get(block=False, match=match)
        if timeout is not None:
            _check(timeout)
        if match is None:
            try:
                return self._get_free()
            except Empty:
                pass  # so it waits, after those who are there already
        found = await self._wait(lambda waiter: self._get_for(waiter, match), timeout)
        if not isinstance(found, Waiter):
            return found
        if match is None:
            return self.get_nowait()
        raise Empty("the queue has no item that matches")

    async def aput(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """The same as ``put`` in a task."""
        if timeout is not None and block:
            _check(timeout)
        try:
            return self.put_nowait(item)
        except Full:
            if not block:
                raise
        found = await self._wait(lambda waiter: self._put_for(waiter, item) or waiter, timeout)
        if isinstance(found, Waiter):
            self.put_nowait(item)
        return None

    async def ajoin(self) -> None:
        """The same as ``join`` in a task."""
        if self.unfinished_tasks:
            await self._wait(lambda waiter: self._join_for(waiter) or waiter)

    async def aget_many(
        self, limit: int, block: bool = True, timeout: float | None = None
    ) -> list[T]:
        """The same as ``get_many`` in a task."""
        if limit < 1:
            return self.get_many(limit)  # which says what is wrong
        items = [await self.aget(block, timeout)]
        if limit > 1:
            with suppress(Empty, ShutDown):
                items += self.get_many(limit - 1, block=False)
        return items

    async def aput_many(
        self, items: Iterable[T], block: bool = True, timeout: float | None = None
    ) -> int:
        """The same as ``put_many`` in a task. If it is cancelled, the first ones may be in."""
        if timeout is not None and block:
            _check(timeout)
        todo = tuple(items)
        deadline = None if timeout is None else time.monotonic() + timeout
        count = 0
        try:
            while count < len(todo):
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                await self.aput(todo[count], block, left)
                count += 1
                count += self._put_some(todo[count : count + _BATCH])
        except (Full, ShutDown):
            if not count:
                raise
        return count

    def _put_some(self, items: tuple[T, ...]) -> int:
        try:
            return self.put_many(items, block=False)
        except Full:
            return 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.aget()
        except ShutDown:
            raise StopAsyncIteration from None

    async def _wait(
        self, step: Callable[[Waiter], R | Waiter], timeout: float | None = None
    ) -> R | Waiter:
        """What ``step`` gives for a waiter once it is not the waiter; or that, when time is up."""
        from penstock.queues.waiters import Bells, Sleeper

        if self._bells is None:
            self._bells = Bells()
        sleeper = Sleeper(self._bells, timeout)
        waiter = Waiter(sleeper.wake)
        try:
            while isinstance(found := step(waiter), Waiter):
                if not await sleeper.sleep():
                    return step(waiter)  # one last look
            return found
        finally:
            self._leave(waiter)


class LifoQueue(Queue[T]):
    """A :class:`Queue` that gives the newest item first."""

    _order = "lifo"


class PriorityQueue(Queue[T]):
    """A :class:`Queue` that gives the least item first, in the order of :mod:`heapq`.

    Items are compared as they are put and got, by whoever puts or gets. A comparison that fails
    raises there, and the queue stays as it was.
    """

    _order = "heap"


def _check(timeout: float) -> None:
    if not timeout >= 0:  # as it is for what is no number at all
        raise ConfigError(f"'timeout' must be a non-negative number of seconds, not {timeout!r}")
