"""The Python twin of `_ring`: the same ring over mmap and file locks. No speed target.

Whoever must wait looks again after a nap, a longer one each time: nothing needs to be woken, so
nothing is lost when somebody dies.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from weakref import WeakSet

from penstock.errors import Empty, Full, ShutDown
from penstock.queues._core import twin_ring_state as state
from penstock.queues._core.twin_ring_items import Packed, pack, unpack
from penstock.queues._core.twin_ring_memory import Memory, Plan, Timeout
from penstock.queues._core.twin_ring_state import DROPPING, SPILLED, Record, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.queues._core._ring import Spill

__all__ = ["Ring", "leftover"]

R = TypeVar("R")

_FIRST_NAP = 0.0001
_LONGEST_NAP = 0.01
_NOW = float("-inf")
_PATIENCE = 0.1  # seconds: who has no time left still gets one try, past those who are inside


class Ring:
    """One process's hold on a queue in shared memory; see `_ring.pyi`."""

    _closed = True  # until it was made

    def __init__(
        self, fd: int, *, maxsize: int, max_bytes: int, spill: Spill | None, create: bool
    ) -> None:
        if maxsize < 0 or max_bytes < 1:
            raise ValueError("maxsize is 0 or more, max_bytes at least 1")
        plan = Plan.draw(maxsize, max_bytes) if create else Plan.read(fd)
        wanted = Plan.draw(maxsize, max_bytes)
        if (plan.maxsize, plan.capacity) != (wanted.maxsize, wanted.capacity):
            raise ValueError(
                f"this queue has maxsize={plan.maxsize} and max_bytes={plan.capacity}, not"
                f" maxsize={maxsize} and max_bytes={wanted.capacity}"
            )
        self._memory = Memory.create(fd, plan) if create else Memory(fd, plan)
        self._state = State(self._memory)
        self._spill = spill
        self._need = 1
        self._stops = 0
        self._stopped = threading.Event()
        self._closed = False
        _rings.add(self)
        with self._inside():
            pass  # claims a slot

    @property
    def maxsize(self) -> int:
        """Items that it may hold; 0: any number."""
        return self._memory.plan.maxsize

    @property
    def max_bytes(self) -> int:
        """Bytes that it may hold."""
        return self._memory.plan.capacity

    @property
    def id(self) -> bytes:
        """Names this ring among all."""
        return self._memory.plan.id

    @property
    def closed(self) -> bool:
        """Whether this hold was given up."""
        return self._closed

    @property
    def is_shutdown(self) -> bool:
        """Whether nothing can be put any more."""
        with self._inside():
            return bool(self._state[state.FLAGS])

    # --- putting and taking ----------------------------------------------------------------------

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Copies the item into the queue."""
        self._deliver([item], _deadline(block, timeout))

    def put_many(
        self, items: Iterable[Any], block: bool = True, timeout: float | None = None
    ) -> int:
        """How many were put: the first ones, in order. Full only when none was."""
        return self._deliver(items, _deadline(block, timeout))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The oldest item, which is taken out."""
        [record] = self._take(1, _deadline(block, timeout))
        return self._load(record)

    def get_many(self, limit: int, block: bool = True, timeout: float | None = None) -> list[Any]:
        """Up to ``limit`` items, at least one; Empty when there are none in time."""
        deadline = _deadline(block, timeout)
        if limit < 1:
            raise ValueError("'limit' must be at least 1")
        items: list[Any] = []
        failed: list[Exception] = []
        for record in self._take(limit, deadline):
            try:
                items.append(self._load(record))
            except Exception as error:  # noqa: BLE001  # whatever unpickling raises: told below
                failed.append(error)
        if failed:  # one that cannot be unpickled must not take the others with it
            with suppress(AttributeError):
                failed[0].items = items  # type: ignore[attr-defined]
            raise failed[0]
        return items

    def _deliver(self, items: Iterable[Any], deadline: float) -> int:
        messages: list[Packed] = []
        count = 0
        try:
            for item in items:
                messages.append(self._pack(item))  # noqa: PERF401  # those before a bad one count
            while count < len(messages):
                count += self._put_some(messages[count:], deadline)
        except (Full, ShutDown):
            if not count:
                raise
        finally:
            for message in messages[count:]:
                self._take_back(message)
        return count

    def _pack(self, item: Any) -> Packed:
        packed = pack(item)
        self._check_open()
        if packed.size <= self._state.largest:
            return packed
        if self._spill is None:
            raise ValueError(
                f"an item of {packed.size} bytes is larger than half of this queue's"
                f" {self.max_bytes}"
            )
        name = self._spill.store(list(packed.parts))
        return Packed(packed.kind | SPILLED, [memoryview(name)])

    def _take_back(self, message: Packed) -> None:
        if message.kind & SPILLED and self._spill is not None:
            self._spill.drop(bytes(message.parts[0]))

    def _put_some(self, messages: list[Packed], deadline: float) -> int:
        def attempt() -> int:
            if self._state[state.FLAGS]:
                raise ShutDown("the queue was shut down")
            return self._state.put(messages)

        count = self._until(attempt, deadline, state.PUTTING)
        if not count:
            self._need = self._state.need(messages[0])
            raise Full("the queue is full")
        return count

    def _take(self, limit: int, deadline: float) -> list[Record]:
        def attempt() -> list[Record]:
            flags = self._state[state.FLAGS]
            records = [] if flags & DROPPING else self._state.take(limit)
            if flags and not records:
                raise ShutDown("the queue was shut down")
            return records

        records = self._until(attempt, deadline, state.GETTING)
        if not records:
            raise Empty("the queue is empty")
        return records

    def _load(self, record: Record) -> Any:
        if not record.kind & SPILLED:
            return unpack(record.kind, record.data)
        if self._spill is None:
            raise ValueError("the queue's memory is damaged: make a new queue")
        data = self._spill.load(record.data)
        self._spill.drop(record.data)
        return unpack(record.kind & ~SPILLED, data)

    # --- counts ----------------------------------------------------------------------------------

    def qsize(self) -> int:
        """How many items are queued."""
        with self._inside():
            return self._state.size

    def unfinished(self) -> int:
        """How many are put and not done."""
        with self._inside():
            self._state.bury(only_holders=True)
            return self._state.unfinished

    def task_done(self, count: int = 1) -> None:
        """Counts items as done."""
        with self._inside():
            self._state.task_done(count)

    def statistics(self) -> dict[str, int | str]:
        """Counts, by name."""
        with self._inside():
            now = self._state
            now.bury()
            return {
                "implementation": "python",
                "puts": now[state.PUTS],
                "gets": now[state.GETS],
                "size": now.size,
                "done": now[state.DONE],
                "unfinished": now.unfinished,
                "lost": now[state.LOST],
                "dropped": now[state.DROPPED],
                "spilled": now[state.SPILLS],
                "waiting_get": now.waiting(state.GETTING),
                "waiting_put": now.waiting(state.PUTTING),
                "bytes_used": now.used,
            }

    def processes(self) -> list[tuple[int, int]]:
        """Live processes that use it: (pid, start time in clock ticks after boot)."""
        with self._inside():
            return self._state.live()

    # --- waiting ---------------------------------------------------------------------------------

    def wait(self, what: Literal["items", "space", "done"], timeout: float | None = None) -> bool:
        """Whether it became ready in time (or the queue was shut down); takes nothing."""
        ready, who = self._looks(what)
        return bool(self._until(ready, _deadline(True, timeout), who, stops=self._stops))

    def _looks(self, what: str) -> tuple[Callable[[], bool], int]:
        now = self._state
        if what == "done":
            return self._all_done, 0
        if what == "space":
            need = self._need
            return lambda: bool(now[state.FLAGS]) or now.has_room(need), state.PUTTING
        if what == "items":
            return lambda: bool(now[state.FLAGS]) or now.size > 0, state.GETTING
        raise ValueError(f"wait for 'items', 'space' or 'done', not {what!r}")

    def join(self, timeout: float | None = None) -> bool:
        """Whether all were done in time."""
        return bool(self._until(self._all_done, _deadline(True, timeout), 0))

    def _all_done(self) -> bool:
        self._state.bury(only_holders=True)
        return not self._state.unfinished

    def interrupt(self) -> None:
        """Every ``wait`` of this process returns False now."""
        self._check_open()
        self._stops += 1
        self._stopped.set()
        self._stopped = threading.Event()

    def _until(
        self, attempt: Callable[[], R], deadline: float, who: int, *, stops: int | None = None
    ) -> R:
        """What the attempt gives, once that is true, or the last time before the deadline."""
        stopped = self._stopped
        result = self._try(attempt, deadline)
        if result or deadline == _NOW:
            return result  # type: ignore[return-value]  # without a deadline it was tried
        nap = _FIRST_NAP
        with self._counted(who):
            while not result and stops in {None, self._stops}:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                stopped.wait(min(nap, left))
                stopped = self._stopped
                nap = min(2 * nap, _LONGEST_NAP)
                result = self._try(attempt, deadline)
        return result  # type: ignore[return-value]  # as above

    def _try(self, attempt: Callable[[], R], deadline: float) -> R | None:
        """None when another process, which was stopped perhaps, is inside all the time."""
        patience = None if deadline == _NOW else max(deadline, time.monotonic() + _PATIENCE)
        try:
            with self._inside(patience):
                return attempt()
        except Timeout:
            return None

    @contextmanager
    def _counted(self, who: int) -> Iterator[None]:
        if not who:
            yield
            return
        with self._inside():
            slot = self._state.slot
            self._state.add({slot + who: 1})
        try:
            yield
        finally:
            with suppress(ValueError), self._inside():  # closed meanwhile: the slot is free
                if slot == self._state.slot:
                    self._state.add({slot + who: -1})

    # --- the end ---------------------------------------------------------------------------------

    def shutdown(self, immediate: bool = False) -> None:
        """No more puts; no more gets once it is empty."""
        with self._inside():
            self._state.shut()
            dropped = self._state.drop() if immediate else []
        for record in dropped:
            if self._spill is not None:
                self._spill.drop(record.data)

    def close(self) -> None:
        """Gives up this process's hold on it; calls of other threads end with ValueError."""
        if self._closed:
            return
        with suppress(ValueError), self._memory.section():  # another thread closed it meanwhile
            self._closed = True
            self._state.leave()
        self._stopped.set()
        self._memory.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this queue is closed in this process")

    @contextmanager
    def _inside(self, deadline: float | None = None) -> Iterator[None]:
        """The section, with a slot for this process."""
        self._check_open()
        with self._memory.section(deadline):
            self._check_open()
            self._state.claim()
            yield

    def _forked(self) -> None:
        self._memory.forked()
        self._state.slot = 0
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def leftover(fd: int) -> bool:
    """Whether no live process uses the ring in this file; ValueError where it holds none."""
    memory = Memory(fd, Plan.read(fd))
    try:
        with memory.section():
            return not State(memory).live()
    finally:
        memory.close()


def _deadline(block: bool, timeout: float | None) -> float:
    if not block:
        return _NOW
    if timeout is None:
        return float("inf")
    if not timeout >= 0:  # as it is for what is no number at all
        raise ValueError("'timeout' must be a non-negative number")
    return time.monotonic() + timeout


# A fork leaves the child with locks that its parent's threads may hold, and with a share in the
# parent's file lock, which would outlive the parent.
_rings: WeakSet[Ring] = WeakSet()


def _forked() -> None:
    for ring in list(_rings):
        ring._forked()  # noqa: SLF001  # of this module


os.register_at_fork(after_in_child=_forked)
