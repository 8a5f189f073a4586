"""What interrupts a call in its own thread: signal handlers, destructors, comparisons."""

import gc
import signal
import threading
import weakref
from contextlib import contextmanager, suppress

import pytest

from penstock.errors import Empty, QueueError
from thread_queues import Call, Interruption, in_line

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")


@contextmanager
def interrupting(handler):
    """The handler runs in the main thread again and again, wherever that is."""
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_put_in_a_signal_handler_ends_the_get_it_interrupts(kind):
    queue = kind()
    with Interruption(queue, lambda: queue.put("item")):
        assert queue.get(timeout=20) == "item"


def test_a_get_in_a_signal_handler_ends_the_put_it_interrupts(fifo):
    queue, got = fifo(1), []
    queue.put(1)
    with Interruption(queue, lambda: got.append(queue.get_nowait())):
        queue.put(2, timeout=20)
    assert got == [1]
    assert queue.get_nowait() == 2


def test_signal_handlers_that_put_at_any_moment(kind):
    queue, put, got = kind(), [], []

    def handler():
        put.append(0)
        queue.put(len(put))

    with interrupting(handler):
        for _ in range(20_000):
            queue.put(0)
            got.append(queue.get())
            if len(put) > 150:
                break
    while True:
        try:
            got.append(queue.get_nowait())
        except Empty:
            break
    assert sorted(item for item in got if item) == list(range(1, len(put) + 1))
    assert put


def test_signal_handlers_that_get_at_any_moment(kind):
    queue, got = kind(), []

    def handler():
        try:
            got.append(queue.get_nowait())
        except Empty:
            got.append(None)

    count = 0
    with interrupting(handler):
        while count < 200_000 and len(got) < 150:
            queue.put(count)
            count += 1
    rest = queue.get_many(count) if queue.qsize() else []
    assert sorted([item for item in got if item is not None] + rest) == list(range(count))


def test_a_destructor_that_puts(kind):
    queue = kind()

    class Dying:
        def __del__(self):
            queue.put(1)

        def __lt__(self, other):
            return False

    queue.put(Dying())
    queue.get_nowait()  # and dropped at once
    assert queue.get_nowait() == 1
    queue.put_many([Dying() for _ in range(10)])
    queue.shutdown_ = None  # a queue takes attributes, as any object does
    del queue.get_many(10)[:]
    assert queue.get_many(99) == [1] * 10


def test_destructors_of_what_a_shutdown_throws_away(kind):
    queue, other = kind(), kind()

    class Dying:
        def __del__(self):
            other.put(queue.qsize())

        def __lt__(self, other):
            return False

    queue.put_many([Dying() for _ in range(10)])
    queue.shutdown(immediate=True)
    assert other.get_many(99) == [0] * 10


def test_the_collector_may_run_destructors_at_any_moment(kind):
    queue, born = kind(), 0

    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            queue.put(1)

    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(7)
    try:
        got = 0
        for _ in range(2000):
            Cycle()
            born += 1
            queue.put(0)
            got += sum(queue.get_many(10))
            with suppress(Empty):
                got += queue.get(timeout=0)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    if queue.qsize():
        got += sum(queue.get_many(100_000))
    assert got == born


def test_a_weakref_callback_that_puts(kind):
    queue = kind()

    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing, lambda _: queue.put("gone"))
    [call] = in_line(queue, (queue.get,))
    del thing
    assert call.result() == "gone"
    assert reference() is None


def test_a_comparison_that_puts_and_gets(heap):
    queue, busy = heap(), [0]

    class Busy(int):
        def __lt__(self, other):
            busy[0] += 1
            if busy[0] % 7 == 0:
                queue.put(self + 1000)
                queue.put(self + 2000)
                taken.append(int(queue.get_nowait()))
            return int(self) < int(other)

    taken = []
    queue.put_many(map(Busy, range(60, 0, -1)))
    while not queue.empty():
        taken.append(int(queue.get_nowait()))
    assert busy[0] > 100
    assert set(range(1, 61)) <= set(taken)
    assert len(taken) == queue.statistics()["put"] == queue.statistics()["got"]


def test_a_comparison_that_changes_the_queue_each_time(heap):
    queue = heap()

    class Restless(int):
        def __lt__(self, other):
            if not inside:
                inside.append(1)
                queue.put(int(self) + 1000)
                inside.pop()
            return int(self) < int(other)

    inside = []
    queue.put(Restless(1))
    with pytest.raises(QueueError, match="only compare"):
        queue.put(Restless(0))
    inside.append("stay quiet")
    items = queue.get_many(1000)
    assert items == sorted(items)
    assert items[0] == 1
    assert len(items) == queue.statistics()["put"] > 1


def test_a_comparison_that_lets_other_threads_in(heap):
    queue = heap()
    turn = threading.Barrier(2, timeout=0.0001)

    class Slow(int):
        def __lt__(self, other):
            try:
                turn.wait()
            except threading.BrokenBarrierError:
                turn.reset()
            return int(self) < int(other)

    def produce(first):
        for number in range(first, first + 60):
            queue.put(Slow(number))

    def consume():
        return [int(queue.get()) for _ in range(60)]

    calls = [Call(produce, 0), Call(produce, 60), Call(consume)]
    got = calls[2].result()
    calls[0].result()
    calls[1].result()
    rest = [int(queue.get_nowait()) for _ in range(60)]
    assert rest == sorted(rest)
    assert sorted(got + rest) == list(range(120))
