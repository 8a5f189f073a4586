"""A queue between processes, in shared memory: forked, spawned, or unrelated and found by name.

It has the methods of :class:`multiprocessing.JoinableQueue`, with ``aput aget ajoin`` for tasks,
batches, ``shutdown`` and exact sizes. What ``put`` returned for is in the memory that all share:
no thread feeds it, and nothing gets lost when the process that put it ends.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from penstock._core.choice import core
from penstock.errors import ConfigError, PenstockError, QueueError, ShutDown
from penstock.queues.open_queues import OpenQueues
from penstock.queues.places import check_name, private_folder
from penstock.queues.process_sharing import make_sendable, reduce
from penstock.queues.process_sizes import DEFAULT_BYTES, sizes_asked_for, sizes_there
from penstock.queues.process_tasks import Awaited
from penstock.queues.segments import Segment, Sizes, named, remove, sweep, unnamed
from penstock.queues.spill import Spill

if TYPE_CHECKING:
    from penstock.queues._core._ring import Ring
else:
    Ring = core("penstock.queues._core", "_ring", "twin_ring").Ring

__all__ = ["ProcessQueue"]

T = TypeVar("T")

_SMALLEST = 16  # bytes that an item takes at least
_CORE = "python" if Ring.__module__.endswith("twin_ring") else "native"
_NO_ROOM = {errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT}
_open = OpenQueues()


class ProcessQueue(Awaited[T], Ring, Generic[T]):
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
        asked = sizes_asked_for(maxsize, max_bytes, _CORE)
        if name is not None:
            self._open_named(check_name(name), asked, make=True)
            return
        with suppress(PenstockError, OSError):  # such a folder matters only to those who need it
            sweep(private_folder())
        with _explained(None, asked), unnamed(private_folder()) as segment:
            self._attach(segment, asked, new=True)

    @classmethod
    def find(cls, name: str) -> Self:
        """The queue of this name, which somebody has. Raises ConfigError when nobody has it."""
        queue = cls.__new__(cls)
        queue._open_named(  # noqa: SLF001  # of this class
            check_name(name), sizes_asked_for(0, None, _CORE), make=False
        )
        return queue

    @classmethod
    def receive(cls, segment: Segment, sizes: Sizes) -> Self:
        """The queue in a segment that came from another process, and becomes this object's."""
        queue = cls.__new__(cls)
        try:
            with _explained(segment.name, sizes):
                queue._attach(segment, sizes, new=False)  # noqa: SLF001  # of this class
        except BaseException:
            os.close(segment.fd)
            raise
        return queue

    def _open_named(self, name: str, asked: Sizes, *, make: bool) -> None:
        opening = named(private_folder(), name, make=make)
        with _explained(name, asked), opening as (segment, new):
            sizes = asked if new else sizes_there(segment, asked)
            self._attach(segment, sizes, new=new)

    def _attach(self, segment: Segment, sizes: Sizes, *, new: bool) -> None:
        _require_core(sizes)
        super().__init__(
            segment.fd,
            maxsize=sizes.maxsize,
            max_bytes=sizes.max_bytes or DEFAULT_BYTES,
            spill=Spill(private_folder(), segment.key),
            create=new,
        )
        if new:
            segment.finish(Sizes(self.maxsize, self.max_bytes, _CORE))
        self._segment = segment
        self._readiness = {}
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


def _require_core(sizes: Sizes) -> None:
    if sizes.core != _CORE:
        raise ValueError(
            f"it was made by a process that runs the {sizes.core} core of penstock, and this one"
            f" runs the {_CORE} core: install it alike for both, with the same PENSTOCK_CORE"
        )


@contextmanager
def _explained(name: str | None, sizes: Sizes) -> Iterator[None]:
    """What went wrong, in our errors: which queue, and what can be done."""
    what = "the queue" if name is None else f"the queue {name!r}"
    try:
        yield
    except PenstockError:
        raise
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise QueueError(f"{what} cannot be made: {error.strerror}") from error
        where = "memory" if name is None else private_folder().path
        raise QueueError(
            f"no room in {where} for {what} of {sizes.max_bytes or DEFAULT_BYTES} bytes:"
            f" {error.strerror}; free some there, or make it smaller with max_bytes"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{what} cannot be used here: {error}; let the processes that have it close it, or"
            " choose another name"
        ) from error
