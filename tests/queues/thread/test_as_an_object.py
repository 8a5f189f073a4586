"""A queue as a Python object: repr, typing, weak references, subclasses, copying, memory."""

import asyncio
import copy
import gc
import inspect
import pickle
import queue as standard
import sys
import weakref

import pytest

from penstock._core import choice
from thread_queues import in_line, waiters


def test_repr_says_what_matters(kind):
    queue = kind(3)
    queue.put(1)
    name = kind.__name__
    assert repr(queue).startswith(f"<{name} at 0x")
    assert repr(queue).endswith(": 1 items, maxsize 3, 1 unfinished, 0 waiting>")
    queue.shutdown()
    assert repr(queue).endswith(", shut down>")


def test_statistics(kind):
    queue = kind(5)
    queue.put_many([1, 2, 3])
    queue.get()
    facts = queue.statistics()
    assert facts.pop("core") in {"native", "python"}
    assert facts == {
        "size": 2,
        "maxsize": 5,
        "peak": 3,
        "put": 3,
        "got": 1,
        "unfinished": 3,
        "waiting_getters": 0,
        "waiting_putters": 0,
        "waiting_joiners": 0,
        "shutdown": False,
    }
    full = kind(1)
    full.put(0)
    in_line(full, (full.join,), (full.put, 1))
    facts = full.statistics()
    assert (facts["waiting_putters"], facts["waiting_joiners"]) == (1, 1)
    full.shutdown(immediate=True)


def test_the_core_that_was_asked_for(module):
    assert module.Queue().statistics()["core"] in {"native", "python"}
    with pytest.raises(ImportError):
        choice.core("penstock.queues._core", "_missing", "_missing_too")


def test_generic(kind):
    assert kind[int].__origin__ is kind
    queue = kind[int](3)
    assert isinstance(queue, kind)
    queue.put(1)


def test_kinds_are_queues(module):
    assert issubclass(module.LifoQueue, module.Queue)
    assert issubclass(module.PriorityQueue, module.Queue)


def test_weak_references(kind):
    queue = kind()
    reference = weakref.ref(queue)
    assert reference() is queue
    del queue
    gc.collect()
    assert reference() is None


def test_a_subclass_may_add_and_override(kind):
    class Noted(kind):
        def __init__(self, maxsize=0, *, name):
            super().__init__(maxsize)
            self.name = name

        def put(self, item, block=True, timeout=None):
            super().put((self.name, item), block, timeout)

    queue = Noted(2, name="mine")
    queue.put(1)
    assert queue.get() == ("mine", 1)
    assert queue.maxsize == 2
    assert "Noted" in repr(queue)


def test_hooks_of_the_standard_library_are_refused_not_ignored(kind):
    with pytest.raises(TypeError, match="_get, _put, which penstock's queues do not call"):

        class Unique(kind):
            def _put(self, item):
                """Never called."""

            def _get(self):
                """Never called."""


def test_a_queue_stays_in_its_process(kind):
    with pytest.raises(TypeError, match="ProcessQueue"):
        pickle.dumps(kind())
    with pytest.raises(TypeError, match="cannot pickle"):
        copy.copy(kind())


def test_signatures_are_those_of_the_standard_library(kind):
    for name in ("put", "get", "join", "task_done", "qsize", "empty", "full", "get_nowait"):
        theirs = inspect.signature(getattr(standard.Queue, name)).parameters
        ours = list(inspect.signature(getattr(kind, name)).parameters.values())
        for parameter, own in zip(theirs.values(), ours, strict=False):
            assert (own.name, own.default) == (parameter.name, parameter.default)
    for name, method in inspect.getmembers(kind, callable):
        if not name.startswith("_"):
            assert method.__doc__, name


def test_items_are_let_go(kind):
    class Item:
        def __lt__(self, other):
            return False

    def alive():
        gc.collect()
        return sum(1 for reference in references if reference() is not None)

    items = [Item() for _ in range(4)]
    references = [weakref.ref(item) for item in items]
    queue = kind()
    queue.put_many(items)
    del items
    assert alive() == 4
    queue.get()
    assert alive() == 3
    assert queue.get(match=lambda item: True) is not None
    assert alive() == 2
    queue.shutdown(immediate=True)
    assert alive() == 0


def test_references_are_counted_right(kind):
    item, queue = 123456789, kind(3)
    item = int(str(item))
    before = sys.getrefcount(item)
    for _ in range(10):
        queue.put(item)
        queue.get()
        queue.put_many([item, item])
        queue.get(match=lambda _: True)
        queue.get(match=lambda _: True, block=False)
        queue.put_many([item, item])
        queue.get_many(2)
        [call] = in_line(queue, (queue.get,))
        queue.put(item)
        call.result()
        del call
        asyncio.run(queue.aput(item))
        asyncio.run(queue.aget())
    gc.collect()
    assert sys.getrefcount(item) == before


def test_a_cycle_through_a_queue_is_collected(kind):
    class Holder:
        def __lt__(self, other):
            return False

    holder, queue = Holder(), kind()
    holder.queue = queue
    queue.put(holder)
    reference = weakref.ref(holder)
    del holder, queue
    gc.collect()
    assert reference() is None


def test_a_cycle_through_a_waiting_task_is_collected(kind):
    class Traced(kind):
        pass

    async def main():
        queue = Traced()
        task = asyncio.ensure_future(queue.aget())
        await asyncio.sleep(0)
        assert waiters(queue) == 1
        task._log_destroy_pending = False
        return weakref.ref(queue)

    loop = asyncio.new_event_loop()
    reference = loop.run_until_complete(main())
    loop.close()
    del loop
    gc.collect()
    assert reference() is None


def test_many_items_take_and_give_back_memory(fifo):
    queue = fifo()
    for _ in range(3):
        queue.put_many(range(20_000))
        assert len(queue.get_many(20_000)) == 20_000
    assert queue.empty()
