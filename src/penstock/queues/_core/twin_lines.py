"""Who waits in a queue of the Python twin, and who may go on: ``items/line.c`` in Python.

All of it runs inside the queue's section, which stands for the GIL there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from penstock.queues._core.twin_store import Fifo, Heap, Lifo, Plan, Store

__all__ = ["Lines", "State", "Waiter"]

STORES: dict[str, Callable[[], Store]] = {"fifo": Fifo, "lifo": Lifo, "heap": Heap}


class State(Enum):
    """How a waiter stands; LOST: it stood in a line of the parent before a fork."""

    IDLE = auto()
    WAITING = auto()
    CALLED = auto()
    DONE = auto()
    CLOSED = auto()
    LOST = auto()


class Waiter:
    """Who waits; ``wake`` is a task's, a thread sleeps on a lock of its own."""

    __slots__ = ("asleep", "item", "line", "lock", "picky", "seen", "state", "wake")

    def __init__(self, wake: Callable[[], bool] | None = None) -> None:
        self.wake = wake
        self.lock = threading.Lock()
        self.lock.acquire()
        self.line: Line | None = None
        self.item: list[Any] = []  # what a thread puts: moved into the queue in its turn
        self.seen = 0
        self.state = State.IDLE
        self.picky = False
        self.asleep = False

    def quit(self) -> None:
        """Out of the line, if it stands in one."""
        if self.line is not None:
            del self.line[self]
            self.line = None

    def join(self, line: Line, state: State) -> None:
        """To the end of this line."""
        self.quit()
        line[self] = None
        self.line = line
        self.state = state


Line = OrderedDict[Waiter, None]


class Lines:
    """The items of one queue, and five lines of waiters."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.store = STORES[order]()
        self.maxsize = self.unfinished = self.put = self.got = self.peak = 0
        self.closed = False
        self.due: deque[Waiter] = deque()  # tasks to be woken once the section is left
        self.getters, self.called_getters = Line(), Line()
        self.putters, self.called_putters = Line(), Line()
        self.joiners = Line()

    @property
    def available(self) -> int:
        """What others may take now."""
        return len(self.store) - len(self.called_getters)

    @property
    def has_room(self) -> bool:
        return self.maxsize <= 0 or self.available + len(self.called_putters) < self.maxsize

    def may_put(self, called: Waiter | None) -> bool:
        if called is not None:
            return called.state is State.CALLED
        return not self.closed and self.has_room

    def may_take(self, by: Waiter | None) -> bool:
        if by is not None and by.state is State.CALLED:
            return True
        return self.available > 0 and (by is None or _still_seeking(by))

    def add(self, plan: Plan, item: Any) -> None:
        self.store.put(plan, self.put, item)
        self.put += 1
        self.unfinished += 1
        self.peak = max(self.peak, len(self.store))

    def add_in_excess(self, item: Any) -> None:
        """Whatever room there is; in a heap that cannot compare it, as the last entry."""
        try:
            self.add(self.store.plan_put(item), item)
        except Exception:  # noqa: BLE001 - a comparison's; its putter was told that the item is in
            self.add(self.store.plan_last(), item)

    def take(self, plan: Plan, by: Waiter | None, seq: int | None) -> Any:
        """A called getter's item is the one that its place in the line gives it."""
        ahead = len(self.called_getters)
        if by is not None and by.state is State.CALLED:
            ahead = list(self.called_getters).index(by)
        item = self.store.take(plan, seq, ahead)
        self.got += 1
        return item

    @staticmethod
    def redeem(waiter: Waiter | None) -> None:
        """The promise is kept: the waiter is out of its line."""
        if waiter is not None:
            waiter.state = State.DONE
            waiter.quit()

    def search_end(self, waiter: Waiter) -> int:
        """Before which number this waiter may look now; 0 when there is nothing new."""
        end = self.frontier(waiter)
        new = _still_seeking(waiter) and self.available > 0 and waiter.seen < end
        return end if new else 0

    def frontier(self, waiter: Waiter) -> int:
        """Items before this number were refused by everybody ahead."""
        least = self.put
        for ahead in self.getters if waiter.line is not None else ():
            if ahead is waiter:
                break
            if not ahead.picky:
                return 0
            least = min(least, ahead.seen)
        return least

    def call_up(self) -> None:
        """Whoever can go on now."""
        self._call_getters()
        while self._call_putters():
            self._call_getters()
        if self.closed:
            self._dismiss_getters()

    def receive(self, waiter: Waiter, line: Line) -> None:
        """At the end of this line; putters of a closed queue are turned away."""
        waiter.seen = 0
        if self.closed and line is self.putters:
            waiter.state = State.CLOSED
        else:
            waiter.join(line, State.WAITING)

    def leave(self, waiter: Waiter) -> None:
        """Gives up; what it was promised goes to the next one."""
        waiter.asleep = False
        if waiter.line is not None:
            waiter.quit()
            waiter.state = State.IDLE
            self.call_up()

    def finish(self, count: int) -> None:
        """So many items less to be done."""
        if count > self.unfinished:
            raise ValueError(
                f"task_done() called too many times: {self.unfinished} items are unfinished"
            )
        self.unfinished -= count
        if not self.unfinished:
            self._dismiss_all(self.joiners, State.DONE)

    def close(self, *, immediate: bool) -> list[Any]:
        """What was thrown away."""
        self.closed = True
        thrown = self.store.clear() if immediate else []
        if immediate:
            self._dismiss_all(self.called_getters, State.CLOSED)
        self._dismiss_all(self.called_putters, State.CLOSED)
        self._dismiss_all(self.putters, State.CLOSED)
        self.call_up()
        self.finish(min(len(thrown), self.unfinished))
        return thrown

    def facts(self) -> dict[str, Any]:
        """For statistics()."""
        return {
            "size": self.available,
            "maxsize": self.maxsize,
            "peak": self.peak,
            "put": self.put,
            "got": self.got,
            "unfinished": self.unfinished,
            "waiting_getters": len(self.getters) + len(self.called_getters),
            "waiting_putters": len(self.putters) + len(self.called_putters),
            "waiting_joiners": len(self.joiners),
            "shutdown": self.closed,
        }

    def forget_waiters(self) -> None:
        """After a fork: they are threads and tasks of the parent."""
        lines = (self.getters, self.called_getters, self.putters, self.called_putters, self.joiners)
        for line in lines:
            self._dismiss_all(line, State.LOST)

    def _wake(self, waiter: Waiter) -> None:
        if waiter.asleep:
            waiter.asleep = False
            if waiter.wake is None:
                waiter.lock.release()
            else:
                self.due.append(waiter)

    def _promise(self, waiter: Waiter, line: Line) -> None:
        waiter.join(line, State.CALLED)
        self._wake(waiter)

    def _dismiss(self, waiter: Waiter, state: State) -> None:
        waiter.quit()
        waiter.state = state
        self._wake(waiter)

    def _dismiss_all(self, line: Line, state: State) -> None:
        while line:
            self._dismiss(next(iter(line)), state)

    def _call_getters(self) -> None:
        least = self.put
        for waiter in tuple(self.getters):
            if self.available <= 0:
                return
            if not waiter.picky:
                if self.store.seq_in_turn(len(self.called_getters)) >= least:
                    return  # somebody ahead still looks at it
                self._promise(waiter, self.called_getters)
            elif waiter.seen < least:
                least = waiter.seen
                self._wake(waiter)

    def _dismiss_getters(self) -> None:
        for waiter in tuple(self.getters):
            if self.available <= 0 or (waiter.picky and waiter.seen >= self.put):
                self._dismiss(waiter, State.CLOSED)

    def _call_putters(self) -> bool:
        news = False
        while self.putters and self.has_room:
            waiter = next(iter(self.putters))
            if waiter.item and self.order != "heap":
                self.add(self.store.plan_last(), waiter.item.pop())
                self._dismiss(waiter, State.DONE)
                news = True
            else:
                self._promise(waiter, self.called_putters)
        return news


def _still_seeking(waiter: Waiter) -> bool:
    """With a predicate, and nothing has ended the search: no shutdown, no fork."""
    return waiter.state is State.WAITING or (waiter.state is State.IDLE and waiter.line is None)
