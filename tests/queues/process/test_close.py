"""close, and what goes with it; how a queue shows itself."""

import gc
import os

import pytest

from penstock.errors import PenstockError
from process_queues import Child, waiting
from thread_queues import Call


def test_nothing_works_after_it(queue):
    queue.put(1)
    queue.close()
    assert queue.closed
    for call in (queue.get, queue.qsize, queue.empty, queue.full, queue.join, queue.shutdown):
        with pytest.raises(ValueError, match="closed"):
            call()
    for call in (queue.statistics, queue.task_done, queue.get_nowait, queue.__iter__().__next__):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(ValueError, match="closed"):
        queue.put(1)
    with pytest.raises(ValueError, match="closed"):
        queue.put_many([1])


def test_twice(queue):
    queue.close()
    queue.close()


def test_who_waits_in_other_threads_is_told(make):
    queue = make(1)
    queue.put(1)
    empty = make()
    calls = [Call(queue.put, 2), Call(queue.join), Call(empty.get), Call(empty.get_many, 2)]
    waiting(queue, put=1)
    waiting(empty, get=2)
    queue.close()
    empty.close()
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call.result()


def test_multiprocessings_threads(queue):
    queue.put(1)
    queue.join_thread()
    queue.cancel_join_thread()
    queue.close()
    queue.join_thread()
    queue.cancel_join_thread()


def test_as_a_context(make):
    with make() as queue:
        queue.put(1)
    assert queue.closed


def test_when_it_is_forgotten(kind):
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    queue = kind(max_bytes=4096)
    put, get = queue.put, queue.get
    del queue
    gc.collect()
    put("methods keep it")
    assert get() == "methods keep it"
    del put, get
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_other_processes_go_on(queue):
    def go_on():
        queue.put(queue.get() + 1)

    with Child(go_on) as child:
        waiting(queue, get=1)
        queue.put(1)
        assert child.code() == 0
    assert queue.get() == 2


def test_a_child_that_closes_harms_only_itself(queue):
    def close():
        queue.close()
        with pytest.raises(ValueError, match="closed"):
            queue.get()

    queue.put(1)
    for _ in range(3):
        assert Child(close).code() == 0
    queue.put(2)
    assert queue.get_many(2) == [1, 2]
    assert Child(queue.put, 3).code() == 0
    assert queue.get() == 3


def test_repr(make, name):
    queue = make(5)
    queue.put(1)
    text = repr(queue)
    for part in ("ProcessQueue", "1 items", "maxsize 5", "1 unfinished", "1 processes"):
        assert part in text
    queue.shutdown()
    assert "shut down" in repr(queue)
    queue.close()
    assert repr(queue) == "<ProcessQueue closed>"
    assert repr(name) in repr(make(name=name))


def test_subclasses(kind):
    class Counting(kind):
        def put(self, item, block=True, timeout=None):
            super().put((item, 1), block, timeout)

    with Counting(max_bytes=4096) as queue:
        queue.put("a")
        queue.put_nowait("b")
        assert queue.get_many(2) == [("a", 1), ("b", 1)]


def test_its_items_have_a_type(kind):
    with kind[int](max_bytes=4096) as queue:
        queue.put(1)


def test_errors_are_penstocks_and_the_standard_librarys(queue):
    import queue as standard

    with pytest.raises(standard.Empty) as caught:
        queue.get_nowait()
    assert isinstance(caught.value, PenstockError)
