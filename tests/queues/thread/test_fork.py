"""After a fork the child has the items, and nobody of the parent waits in its copy."""

import os
import signal
import threading
import warnings

import pytest

from thread_queues import Call, in_line, waiters

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def in_child(check):
    """Runs check() in a forked child; the exit code says whether it passed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: that is the test
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(30)
            check()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_items_are_in_both(kind):
    queue = kind()
    queue.put_many([1, 2])

    def check():
        assert sorted(queue.get_many(5)) == [1, 2]
        queue.put(3)
        assert queue.get(timeout=5) == 3

    in_child(check)
    assert sorted(queue.get_many(5)) == [1, 2]


def test_getters_of_the_parent_take_nothing_in_the_child(kind):
    queue = kind()
    calls = in_line(queue, (queue.get,), (queue.get, True, 60))

    def check():
        assert waiters(queue) == 0
        queue.put("child's")
        assert queue.qsize() == 1
        assert queue.get_nowait() == "child's"
        [call] = in_line(queue, (queue.get,))
        queue.put("again")
        assert call.result() == "again"

    in_child(check)
    queue.put_many([1, 2])
    assert sorted(call.result() for call in calls) == [1, 2]


def test_what_was_promised_in_the_parent_is_free_in_the_child(kind):
    queue = kind()
    looking, go_on = threading.Event(), threading.Event()

    def slow(item):
        looking.set()
        return go_on.wait(20)

    call = Call(queue.get, match=slow)
    queue.put(1)
    assert looking.wait(20)
    [behind] = in_line(queue, (queue.get,))

    def check():
        assert queue.get(timeout=5) == 1

    in_child(check)
    go_on.set()
    assert call.result() == 1
    queue.put(2)
    assert behind.result() == 2


def test_putters_and_joiners_of_the_parent(kind):
    queue = kind(1)
    queue.put(1)
    put, join = in_line(queue, (queue.put, 2), (queue.join,))

    def check():
        assert waiters(queue) == 0
        assert queue.get() == 1
        assert queue.empty()
        queue.task_done()
        queue.join()

    in_child(check)
    assert queue.get() == 1
    put.result()
    assert queue.get() == 2
    queue.task_done(2)
    join.result()


def test_forks_while_others_put_and_get(kind):
    queue, stop = kind(), threading.Event()

    def work():
        while not stop.is_set():
            queue.put(1)
            queue.get()

    workers = [Call(work) for _ in range(2)]

    def check():
        size = queue.qsize()
        queue.put_many([2, 3])
        assert queue.qsize() == size + 2
        assert len(queue.get_many(size + 2)) == size + 2

    try:
        for _ in range(5):
            in_child(check)
    finally:
        stop.set()
    for worker in workers:
        worker.result()


def test_a_fork_in_a_signal_handler_that_interrupts_a_get(kind):
    queue, children = kind(), []

    def fork(*_):
        pid = os.fork()
        if pid == 0:
            queue.put("child's")
        else:
            children.append(pid)
            queue.put("parent's")

    parent = os.getpid()
    before = signal.signal(signal.SIGALRM, fork)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        item = queue.get(timeout=20)
        if os.getpid() != parent:
            os._exit(0 if item == "child's" else 1)
    finally:
        if os.getpid() != parent:
            os._exit(2)
        signal.signal(signal.SIGALRM, before)
    assert item == "parent's"
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
