"""A queue between processes, in shared memory: forked, spawned, or unrelated and found by name.

It has the methods of :class:`multiprocessing.JoinableQueue`, with ``aput aget ajoin`` for tasks,
batches, ``shutdown`` and exact sizes. What ``put`` returned for is in the memory that all share:
no thread feeds it, and nothing gets lost when the process that put it ends.
"""

from __future__ import annotations

import operator
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from penstock.errors import ConfigError, Full, PenstockError, QueueError, ShutDown
from penstock.queues._core.choice import core
from penstock.queues.open_queues import OpenQueues
from penstock.queues.places import check_name, private_folder
from penstock.queues.process_sharing import make_sendable, reduce
from penstock.queues.segments import Segment, Sizes, named, remove, sweep, unnamed
from penstock.queues.spill import Spill

if TYPE_CHECKING:
    from penstock.queues._core._ring import Ring
    from penstock.queues.readiness import Readiness, What
else:
    Ring = core("_ring", "twin_ring").Ring

__all__ = ["ProcessQueue"]

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_BYTES = 4 * 1024 * 1024
_MOST_BYTES = 1 << 33
_MOST_ITEMS = (1 << 63) - 1
_SMALLEST = 16  # bytes that an item takes at least
_BATCH = 256  # so many items at once, where trying again means to pickle them again
_CORE = "python" if Ring.__module__.endswith("twin_ring") else "native"
_open = OpenQueues()


class ProcessQueue(Ring, Generic[T]):
    """First in, first out; for any number of processes, threads and tasks in event loops.

    ``maxsize`` bounds the items (0 or less: no bound) and ``max_bytes`` what they take in memory
    (4 MiB, in full from the beginning): ``put`` waits when either is reached. An item larger than
    half of ``max_bytes`` goes through a file in the private folder.

    Give it to a process that you start, send it through a connection, or give it a ``name``: the
    first who names it makes it, others of the same user find it. They may leave the sizes out;
    sizes that differ from what is there are a ConfigError. Name and memory go when the last
    process that has it closes it or ends; forked children have it too. What killed processes left
    is removed whenever a queue is made or closed.

    An item belongs to whoever got it. When that process dies, the item counts as done, and as
    lost in ``statistics()``; ``join`` notices by itself. A process that never calls ``task_done``
    is taken to be done with an item when it asks for the next.

    Raises TypeError for sizes that are no whole numbers, ConfigError for values that cannot be and
    for what is no queue of ours, QueueError where the system has no memory for it. After
    :meth:`close` every call raises ValueError.
    """

    if TYPE_CHECKING:  # the core has these; here they know the type of the items

        def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
            """Put it in; waits for room. Raises Full, ShutDown, and what pickling it raises."""

        def put_many(
            self, items: Iterable[T], block: bool = True, timeout: float | None = None
        ) -> int:
            """How many were put: the first ones, in order. Raises Full only if none was."""

        def get(self, block: bool = True, timeout: float | None = None) -> T:
            """Take the oldest out; waits for one. Raises Empty, and ShutDown when none is left."""

        def get_many(self, limit: int, block: bool = True, timeout: float | None = None) -> list[T]:
            """Up to ``limit`` items, and at least one."""

    def __init__(
        self, maxsize: int = 0, name: str | None = None, *, max_bytes: int | None = None
    ) -> None:
        wanted = _wanted(maxsize, max_bytes)
        folder = private_folder()
        if name is not None:
            self._open_named(check_name(name), wanted, make=True)
            return
        with suppress(PenstockError):  # a folder in disorder matters only to those who need it
            sweep(folder)
        with unnamed(folder) as segment:
            self._attach(segment, wanted, new=True)

    @classmethod
    def find(cls, name: str) -> Self:
        """The queue of this name, which somebody has. Raises ConfigError when nobody has it."""
        queue = cls.__new__(cls)
        queue._open_named(  # noqa: SLF001  # of this class
            check_name(name), _wanted(0, None), make=False
        )
        return queue

    @classmethod
    def receive(cls, segment: Segment, sizes: Sizes) -> Self:
        """The queue in a segment that came from another process, and becomes this object's."""
        queue = cls.__new__(cls)
        try:
            queue._attach(segment, sizes, new=False)  # noqa: SLF001  # of this class
        except BaseException:
            os.close(segment.fd)
            raise
        return queue

    def _open_named(self, name: str, wanted: Sizes, *, make: bool) -> None:
        with named(private_folder(), name, make=make) as (segment, new):
            sizes = wanted if new else _found(segment, wanted)
            self._attach(segment, sizes, new=new)

    def _attach(self, segment: Segment, sizes: Sizes, *, new: bool) -> None:
        folder = private_folder()
        with _explained(segment, sizes):
            _require_core(sizes)
            super().__init__(
                segment.fd,
                maxsize=sizes.maxsize,
                max_bytes=sizes.max_bytes or DEFAULT_BYTES,
                spill=Spill(folder, segment.key),
                create=new,
            )
            if new:
                segment.finish(Sizes(self.maxsize, self.max_bytes, _CORE))
        self._segment = segment
        self._readiness: dict[int, Readiness] = {}  # by process: a child begins anew
        make_sendable(type(self))
        _open.add(self)

    # --- what it is ------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """By which other processes find it."""
        return self.segment.name

    @property
    def segment(self) -> Segment:
        """Its memory as an open file."""
        try:
            return self._segment
        except AttributeError:
            raise ValueError("this queue is closed in this process") from None

    @property
    def core(self) -> str:
        """The implementation that it runs on: native or python."""
        return _CORE

    def statistics(self) -> dict[str, int | str]:
        """Counts, by name, of all processes since it was made."""
        return {
            **super().statistics(),
            "maxsize": self.maxsize,
            "max_bytes": self.max_bytes,
            "processes": len(self.processes()),
        }

    def __repr__(self) -> str:
        if self.closed:
            return "<ProcessQueue closed>"
        name = "" if self.name is None else f" {self.name!r}"
        return (
            f"<{type(self).__name__}{name} at {id(self):#x}: {self.qsize()} items,"
            f" maxsize {self.maxsize}, {self.unfinished()} unfinished,"
            f" {len(self.processes())} processes{', shut down' if self.is_shutdown else ''}>"
        )

    # --- without waiting -------------------------------------------------------------------------

    def put_nowait(self, item: T) -> None:
        """The same as ``put(item, block=False)``."""
        self.put(item, False)

    def get_nowait(self) -> T:
        """The same as ``get(block=False)``."""
        return self.get(False)

    def empty(self) -> bool:
        """Whether there is no item in it, at this moment."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether it holds ``maxsize`` items, or has no bytes left even for the smallest."""
        if 0 < self.maxsize <= self.qsize():
            return True
        return self.max_bytes - int(super().statistics()["bytes_used"]) < _SMALLEST

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return self.get()
        except ShutDown:
            raise StopIteration from None

    # --- in tasks --------------------------------------------------------------------------------

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

    # --- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Give it up in this process: calls of other threads and tasks end with ValueError."""
        segment = vars(self).pop("_segment", None)
        if segment is not None:
            self._end_waiting()
        super().close()
        if segment is not None:
            _let_go(segment)

    def close_at_exit(self) -> None:
        """:meth:`close`; but daemon threads that use it are not disturbed in their last moment."""
        self._end_waiting()
        if threading.active_count() == 1:
            self.close()
        elif not self.closed and len(self.processes()) == 1:
            with suppress(PenstockError, OSError):  # the next who makes a queue will do it
                remove(private_folder(), self.segment)

    def _end_waiting(self) -> None:
        waiting = vars(self).get("_readiness", {}).get(os.getpid())
        if waiting is not None:
            waiting.close()

    def join_thread(self) -> None:
        """Return at once: there is no thread to wait for, what was put is in the queue."""

    def cancel_join_thread(self) -> None:
        """Do nothing: the end of this process waits for nobody, and loses nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self, _is_late: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _is_late():
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce(self)


def _let_go(segment: Segment) -> None:
    with suppress(OSError):  # whoever closed all descriptors of this process closed it as well
        os.close(segment.fd)
    with suppress(PenstockError, OSError):  # the next who makes or closes a queue will do it
        sweep(private_folder())


def _wanted(maxsize: object, max_bytes: object) -> Sizes:
    """0 for what was left open."""
    items = max(0, _whole("maxsize", maxsize, _MOST_ITEMS))
    size = 0 if max_bytes is None else _whole("max_bytes", max_bytes, _MOST_BYTES)
    if max_bytes is not None and size < 1:
        raise ConfigError(f"max_bytes is a number of bytes from 1 to {_MOST_BYTES}, not {size}")
    return Sizes(items, size, _CORE)


def _whole(what: str, value: Any, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} of a ProcessQueue is a whole number, not {value!r}") from None
    if number > most:
        raise ConfigError(f"{what} of a ProcessQueue is at most {most}, not {number}")
    return number


def _found(segment: Segment, wanted: Sizes) -> Sizes:
    """The sizes of what is there. Raises ConfigError if others were wanted."""
    there = segment.read_sizes()
    if there is None:
        return wanted  # no queue: the core will say why
    page = os.sysconf("SC_PAGESIZE")
    rounded = -(-wanted.max_bytes // page) * page
    if wanted.maxsize in {0, there.maxsize} and rounded in {0, there.max_bytes}:
        return there
    raise ConfigError(
        f"the queue {segment.name!r} is there already, with maxsize={there.maxsize} and"
        f" max_bytes={there.max_bytes}: name the same sizes, or none"
    )


def _require_core(sizes: Sizes) -> None:
    if sizes.core != _CORE:
        raise ValueError(
            f"it was made by a process that runs the {sizes.core} core of penstock, and this one"
            f" runs the {_CORE} core: install it alike for both, with the same PENSTOCK_CORE"
        )


@contextmanager
def _explained(segment: Segment, sizes: Sizes) -> Iterator[None]:
    """What went wrong, in our errors: which queue, and what can be done."""
    what = "the queue" if segment.name is None else f"the queue {segment.name!r}"
    try:
        yield
    except OSError as error:
        where = "memory" if segment.name is None else private_folder().path
        raise QueueError(
            f"no room in {where} for {what} of {sizes.max_bytes or DEFAULT_BYTES} bytes:"
            f" {error.strerror}; free some there, or make it smaller with max_bytes"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{what} cannot be used here: {error}; let the processes that have it close it, or"
            " choose another name"
        ) from error
