"""The Python twin of `_ring`: the same ring over mmap and file locks. No speed target."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Self

from penstock.errors import Empty, Full, ShutDown
from penstock.queues._core import twin_ring_state as state
from penstock.queues._core.twin_ring_hold import Hold, deadline_of
from penstock.queues._core.twin_ring_items import Packed, pack, unpack
from penstock.queues._core.twin_ring_memory import Memory, Plan
from penstock.queues._core.twin_ring_state import DROPPING, SPILLED, Record, State

if TYPE_CHECKING:
    from penstock.queues._core._ring import Spill

__all__ = ["Ring", "leftover"]


class Ring:
    """One process's hold on a queue in shared memory; see `_ring.pyi`."""

    _hold: Hold
    _plan: Plan

    def __init__(
        self, fd: int, *, maxsize: int, max_bytes: int, spill: Spill | None, create: bool
    ) -> None:
        if maxsize < 0 or max_bytes < 1:
            raise ValueError("maxsize is 0 or more, max_bytes at least 1")
        wanted = Plan.draw(maxsize, max_bytes)
        plan = wanted if create else Plan.read(fd)
        if (plan.maxsize, plan.capacity) != (wanted.maxsize, wanted.capacity):
            raise ValueError(
                f"this queue has maxsize={plan.maxsize} and max_bytes={plan.capacity}, not"
                f" maxsize={maxsize} and max_bytes={wanted.capacity}"
            )
        self._hold = Hold(Memory.create(fd, plan) if create else Memory(fd, plan))
        self._plan = plan
        self._spill = spill
        self._need = 1
        self._hold.inside(State.live)  # claims a slot

    @property
    def maxsize(self) -> int:
        """Items that it may hold; 0: any number."""
        return self._plan.maxsize

    @property
    def max_bytes(self) -> int:
        """Bytes that it may hold."""
        return self._plan.capacity

    @property
    def id(self) -> bytes:
        """Names this ring among all."""
        return self._plan.id

    @property
    def closed(self) -> bool:
        """Whether this hold was given up."""
        hold: Hold | None = vars(self).get("_hold")  # it could not be made, perhaps
        return hold is None or hold.closed

    @property
    def is_shutdown(self) -> bool:
        """Whether nothing can be put any more."""
        return self._hold.inside(lambda now: bool(now[state.FLAGS]))

    # --- putting and taking ----------------------------------------------------------------------

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Copies the item into the queue."""
        self._deliver([item], deadline_of(block, timeout))

    def put_many(
        self, items: Iterable[Any], block: bool = True, timeout: float | None = None
    ) -> int:
        """How many were put: the first ones, in order. Full only when none was."""
        return self._deliver(items, deadline_of(block, timeout))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The oldest item, which is taken out."""
        [record] = self._take(1, deadline_of(block, timeout))
        return self._load(record)

    def get_many(self, limit: int, block: bool = True, timeout: float | None = None) -> list[Any]:
        """Up to ``limit`` items, at least one; Empty when there are none in time."""
        deadline = deadline_of(block, timeout)
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
        self._hold.check_open()
        if packed.size <= self._hold.state.largest:
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
        now = self._hold.state

        def attempt() -> int:
            if now[state.FLAGS]:
                raise ShutDown("the queue was shut down")
            return now.put(messages)

        count = self._hold.until(attempt, deadline, state.PUTTING)
        if not count:
            self._need = now.need(messages[0])
            raise Full("the queue is full")
        return count

    def _take(self, limit: int, deadline: float) -> list[Record]:
        now = self._hold.state

        def attempt() -> list[Record]:
            flags = now[state.FLAGS]
            records = [] if flags & DROPPING else now.take(limit)
            if flags and not records:
                raise ShutDown("the queue was shut down")
            return records

        records = self._hold.until(attempt, deadline, state.GETTING)
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
        return self._hold.inside(lambda now: now.size)

    def unfinished(self) -> int:
        """How many are put and not done."""
        return self._hold.inside(_unfinished)

    def task_done(self, count: int = 1) -> None:
        """Counts items as done."""
        self._hold.inside(lambda now: now.task_done(count))

    def statistics(self) -> dict[str, int | str]:
        """Counts, by name."""
        return self._hold.inside(_statistics)

    def processes(self) -> list[tuple[int, int]]:
        """Live processes that use it: (pid, start time in clock ticks after boot)."""
        return self._hold.inside(State.live)

    # --- waiting ---------------------------------------------------------------------------------

    def wait(self, what: Literal["items", "space", "done"], timeout: float | None = None) -> bool:
        """Whether it became ready in time (or the queue was shut down); takes nothing."""
        ready, who = self._looks(what)
        deadline = deadline_of(True, timeout)
        return bool(self._hold.until(ready, deadline, who, interruptible=True))

    def _looks(self, what: str) -> tuple[Callable[[], bool], int]:
        now = self._hold.state
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
        return bool(self._hold.until(self._all_done, deadline_of(True, timeout), 0))

    def _all_done(self) -> bool:
        return not _unfinished(self._hold.state)

    def interrupt(self) -> None:
        """Every ``wait`` of this process returns False now."""
        self._hold.interrupt()

    # --- the end ---------------------------------------------------------------------------------

    def shutdown(self, immediate: bool = False) -> None:
        """No more puts; no more gets once it is empty."""

        def shut(now: State) -> list[Record]:
            now.shut()
            return now.drop() if immediate else []

        for record in self._hold.inside(shut):
            if self._spill is not None:
                self._spill.drop(record.data)

    def close(self) -> None:
        """Gives up this process's hold on it; calls of other threads end with ValueError."""
        if not self.closed:
            self._hold.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _statistics(now: State) -> dict[str, int | str]:
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


def _unfinished(now: State) -> int:
    now.bury(only_holders=True)
    return now.unfinished


def leftover(fd: int) -> bool:
    """Whether no live process uses the ring in this file; ValueError where it holds none."""
    memory = Memory(fd, Plan.read(fd))
    try:
        return memory.inside(lambda: not State(memory).live())
    finally:
        memory.close()
