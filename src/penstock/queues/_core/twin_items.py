"""The queues between threads in Python alone: the same interface and behaviour as ``_items``.

Two things are weaker than in C. What interrupts a thread inside the queue's section (a signal
handler, a destructor) finds nothing to get there, and what it puts goes in right afterwards, in
excess of ``maxsize`` if need be. And Ctrl-C may strike between two steps of one change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from operator import index
from typing import Any, ClassVar, Generic, Literal, NoReturn, Self, TypeVar

from penstock.errors import ConfigError, Empty, Full, QueueError, ShutDown
from penstock.queues._core.twin_lines import Waiter
from penstock.queues._core.twin_section import Interrupting
from penstock.queues._core.twin_turns import NOTHING, SHUT_DOWN, Turns

__all__ = ["Items", "Waiter"]

T = TypeVar("T")


class Items(Generic[T]):
    """A queue for threads, and what tasks need to wait in it together with them."""

    _order: ClassVar[Literal["fifo", "lifo", "heap"]]
    _turns: Turns

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        self = super().__new__(cls)
        self._turns = Turns(cls._order)
        return self

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize

    # --- put

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in; wait for room if need be. Raises Full and ShutDown."""
        deadline = _deadline(timeout) if block else None
        if not self._put_in_time(item, block, deadline):
            raise self._full()

    def put_nowait(self, item: T, /) -> None:
        """The same as put(item, block=False)."""
        self.put(item, block=False)

    def put_many(self, items: Iterable[T], block: bool = True, timeout: float | None = None) -> int:
        """Put items in; how many found room: the first ones, in order. Full only if none did."""
        deadline = _deadline(timeout) if block else None
        todo = tuple(items)
        count = 0
        try:
            while count < len(todo) and self._put_in_time(todo[count], block, deadline):
                count += 1
        except ShutDown:
            if not count:
                raise
        if todo and not count:
            raise self._full()
        return count

    def _put_in_time(self, item: T, block: bool, deadline: float | None) -> bool:
        if self._turns.add(item):
            return True
        if self.is_shutdown:
            raise ShutDown(SHUT_DOWN)
        return block and self._put_waiting(item, deadline)

    def _put_waiting(self, item: T, deadline: float | None) -> bool:
        waiter = Waiter()
        waiter.item.append(item)
        try:
            while not self._put_for(waiter, item):
                if not _sleep(waiter, deadline):
                    return self._put_for(waiter, item)
        finally:
            self._leave(waiter)
        return True

    def _full(self) -> Full:
        return Full(f"the queue has no room: its maxsize is {self.maxsize}")

    # --- get

    def get(
        self,
        block: bool = True,
        timeout: float | None = None,
        *,
        match: Callable[[T], object] | None = None,
    ) -> T:
        """The next item, or the first for which match(item) is true; wait for it if need be.

        Raises Empty and ShutDown.
        """
        deadline = _deadline(timeout) if block else None
        if not block:
            turns = self._turns
            return self._found(turns.take() if match is None else turns.seek(Waiter(), match))
        found = self._take_free() if match is None else NOTHING
        return self._found(self._get_waiting(match, deadline) if found is NOTHING else found)

    def get_nowait(self) -> T:
        """The same as get(block=False)."""
        return self._found(self._turns.take())

    def get_many(self, limit: int, block: bool = True, timeout: float | None = None) -> list[T]:
        """Up to ``limit`` items, at least one: waits for the first only, else raises Empty."""
        if index(limit) < 1:
            raise ConfigError(f"'limit' must be 1 or more, not {limit!r}")
        items = [self.get(block, timeout)]
        for _ in range(min(limit - 1, self.qsize())):
            try:
                item = self._turns.take()
            except Exception:  # noqa: BLE001 - a comparison's; it fails again in the next call
                break
            if item is NOTHING:
                break
            items.append(item)
        return items

    def _get_free(self) -> T:
        """The next item, if nobody waits for it already. Raises Empty and ShutDown."""
        return self._found(self._take_free())

    def _take_free(self) -> Any:
        return NOTHING if self._turns.lines.getters else self._turns.take()

    def _found(self, found: Any) -> T:
        if found is NOTHING:
            raise (
                ShutDown(SHUT_DOWN) if self.is_shutdown else Empty("the queue has no item to give")
            )
        item: T = found
        return item

    def _get_waiting(self, match: Callable[[T], object] | None, deadline: float | None) -> Any:
        waiter = Waiter()
        try:
            while (found := self._get_for(waiter, match)) is waiter:
                if not _sleep(waiter, deadline):
                    found = self._get_for(waiter, match)
                    break
        except Interrupting:
            return NOTHING
        finally:
            self._leave(waiter)
        if found is not waiter:
            return found
        return self._turns.take() if match is None else NOTHING

    # --- the rest

    @property
    def maxsize(self) -> int:
        """How many items there is room for, 0 or less: no limit. May be changed at any time."""
        return self._turns.lines.maxsize

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        if not hasattr(value, "__index__"):
            raise ConfigError(f"'maxsize' must be an integer (0: no limit), not {value!r}")
        self._turns.lines.maxsize = index(value)
        self._turns.soon(self._turns.settle)

    @property
    def unfinished_tasks(self) -> int:
        """Items put but not yet done with."""
        return self._turns.lines.unfinished

    @property
    def is_shutdown(self) -> bool:
        """Whether shutdown() was called."""
        return self._turns.lines.closed

    def qsize(self) -> int:
        """How many items can be had now; exact."""
        try:
            with self._turns.section:
                return self._turns.lines.available
        except Interrupting:
            return self._turns.lines.available

    def empty(self) -> bool:
        """Whether nothing can be had now."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether there is no room now."""
        try:
            with self._turns.section:
                return not self._turns.lines.has_room
        except Interrupting:
            return not self._turns.lines.has_room

    def task_done(self, count: int = 1) -> None:
        """As many items that were got are done with. Raises ValueError if there are fewer."""
        if index(count) < 1:
            raise ConfigError(f"'count' must be 1 or more, not {count!r}")
        self._turns.soon(lambda: self._turns.lines.finish(count))

    def join(self) -> None:
        """Wait until every item that was put is done with."""
        waiter = Waiter()
        try:
            while not self._join_for(waiter):
                _sleep(waiter, None)
        except Interrupting:
            raise QueueError("join() cannot wait for what it interrupts in this thread") from None
        finally:
            self._leave(waiter)

    def shutdown(self, immediate: bool = False) -> None:
        """Take nothing more in: put raises ShutDown, get too once the queue is empty.

        With ``immediate`` it is emptied, and what is thrown away counts as done.
        """
        thrown: list[Any] = []  # released when the section is left: that may run any code
        self._turns.soon(lambda: thrown.extend(self._turns.lines.close(immediate=bool(immediate))))

    def statistics(self) -> dict[str, Any]:
        """Figures of its life so far, and who waits."""
        return {**self._turns.lines.facts(), "core": "python"}

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return self.get()
        except ShutDown:
            raise StopIteration from None

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle a {type(self).__name__}: it lives in one process; "
            "ProcessQueue goes to others"
        )

    # --- for tasks, in whose name the caller waits

    def _get_for(self, waiter: Waiter, match: Callable[[T], object] | None = None, /) -> Any:
        """An item in the waiter's turn; the waiter itself if it must wait to be woken."""
        return self._turns.take_for(waiter, match)

    def _put_for(self, waiter: Waiter, item: T, /) -> bool:
        """Whether the item is in now; else the waiter must wait to be woken, and ask again."""
        return self._turns.add_for(waiter, item)

    def _join_for(self, waiter: Waiter, /) -> bool:
        """Whether all is done; else the waiter must wait to be woken, and ask again."""
        return self._turns.join_for(waiter)

    def _leave(self, waiter: Waiter, /) -> None:
        """Ends the wait however it ended; what the waiter was promised goes to the next one."""
        self._turns.leave(waiter)


def _deadline(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if not timeout >= 0:
        raise ConfigError(f"'timeout' must be a non-negative number of seconds, not {timeout!r}")
    return time.monotonic() + timeout


def _sleep(waiter: Waiter, deadline: float | None) -> bool:
    """False when time is over."""
    if deadline is None:
        return waiter.lock.acquire()
    left = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
    return waiter.lock.acquire(timeout=left)
