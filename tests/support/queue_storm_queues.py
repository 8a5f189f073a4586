"""The queues that the storm can rage over, with one face: `put`, `get`, `done`, `join`.

`put_some` and `get_some` return how many were put, and what was got; with a timeout they may raise
`Full` and `Empty`. Made before the processes, which call `enter` first.
"""

import contextlib
import multiprocessing
import os
from queue import Empty, Full

FORK = multiprocessing.get_context("fork")
MAXSIZE = 200
RING_BYTES = 1 << 20
CONSUMERS = 64  # more than there can be
FOREVER = 1e6  # seconds


class Over(Exception):
    """The queue was shut down and is empty."""


class Penstock:
    """Every second process finds the queue by its name, the others inherit it."""

    largest = RING_BYTES  # items over half of this go through a file

    def __init__(self):
        from penstock import ProcessQueue, ShutDown

        self.make, self.over = ProcessQueue, ShutDown
        self.name = f"storm-{os.getpid()}"
        self.queue = ProcessQueue(MAXSIZE, name=self.name, max_bytes=RING_BYTES)

    def enter(self, number):
        if number % 2:
            found = self.make(MAXSIZE, name=self.name, max_bytes=RING_BYTES)
            self.queue.close()
            self.queue = found

    def put_some(self, items, timeout):
        if len(items) == 1:
            self.queue.put(items[0], timeout=timeout)
            return 1
        return self.queue.put_many(items, timeout=timeout)

    def get_some(self, limit, timeout):
        try:
            if limit == 1:
                return [self.queue.get(timeout=timeout)]
            return self.queue.get_many(limit, timeout=timeout)
        except self.over as error:
            raise Over from error

    def done(self, count):
        self.queue.task_done(count)

    def join(self):
        self.queue.join()

    def shut(self):
        self.queue.shutdown()

    def facts(self):
        """What the queue says of itself: items lost, still there, still unfinished."""
        found = self.queue.statistics()
        return {name: found[name] for name in ("lost", "size", "unfinished")}

    def close(self):
        self.queue.close()


class Standard:
    """What the other two have in common: no shutdown, so each consumer gets a last word."""

    largest = 1 << 20

    def enter(self, number):
        pass

    def get_some(self, limit, timeout):
        items = self.take(limit, timeout)
        if None in items:
            raise Over
        return items

    def shut(self):
        with contextlib.suppress(Full):  # a dead one takes nothing more
            for _ in range(CONSUMERS):
                self.queue.put(None, timeout=1.0)

    def facts(self):
        return {}


class Multiprocessing(Standard):
    """`put` returns before its thread has written the item: what a killed process put may miss."""

    def __init__(self):
        self.queue = FORK.JoinableQueue(MAXSIZE)

    def put_some(self, items, timeout):
        self.queue.put(items[0], timeout=timeout)
        return 1

    def take(self, limit, timeout):
        return [self.queue.get(timeout=timeout)]

    def done(self, count):
        for _ in range(count):
            self.queue.task_done()

    def join(self):
        self.queue.join()

    def close(self):
        self.queue.close()
        self.queue.cancel_join_thread()


class FasterFifo(Standard):
    """No `task_done`, no `join`; and `timeout=None` means not to wait at all."""

    join = None

    def __init__(self):
        from faster_fifo import Queue

        self.queue = Queue(max_size_bytes=4 * RING_BYTES)

    def put_some(self, items, timeout):
        timeout = FOREVER if timeout is None else timeout
        if len(items) == 1:
            self.queue.put(items[0], timeout=timeout)
        else:
            self.queue.put_many(items, timeout=timeout)
        return len(items)

    def take(self, limit, timeout):
        timeout = FOREVER if timeout is None else timeout
        if limit == 1:
            return [self.queue.get(timeout=timeout)]
        return self.queue.get_many(timeout=timeout, max_messages_to_get=limit)

    def done(self, count):
        pass

    def close(self):
        self.queue.close()


QUEUES = {
    "penstock": Penstock,
    "multiprocessing": Multiprocessing,
    "faster-fifo": FasterFifo,
}
__all__ = ["QUEUES", "Empty", "Full", "Over"]
