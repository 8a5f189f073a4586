"""Ctrl-C, and any handler that raises, ends a waiting call; nothing is lost by it."""

import os
import signal
import threading
from contextlib import suppress

import pytest

from thread_queues import Call, Interruption, until, waiters, waiting

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def interrupt():
    raise KeyboardInterrupt


def ctrl_c(queue):
    """SIGINT, once somebody waits in the queue."""
    return Interruption(queue, interrupt, signal.SIGINT)


def test_a_waiting_get(kind):
    queue = kind()
    with pytest.raises(KeyboardInterrupt), ctrl_c(queue):
        queue.get()
    assert waiters(queue) == 0
    queue.put(1)
    assert queue.get_nowait() == 1


def test_a_waiting_put(kind):
    queue = kind(1)
    queue.put(1)
    with pytest.raises(KeyboardInterrupt), ctrl_c(queue):
        queue.put(2, timeout=20)
    assert waiters(queue) == 0
    assert queue.get_many(5) == [1]
    assert queue.unfinished_tasks == 1


def test_a_waiting_join(kind):
    queue = kind()
    queue.put(1)
    with pytest.raises(KeyboardInterrupt), ctrl_c(queue):
        queue.join()
    assert waiters(queue) == 0


def test_a_waiting_get_with_a_predicate(kind):
    queue = kind()
    queue.put(1)
    with pytest.raises(KeyboardInterrupt), ctrl_c(queue):
        queue.get(match=lambda item: item == 2)
    assert waiters(queue) == 0
    assert queue.get_nowait() == 1


def test_a_handler_that_does_not_raise_shortens_no_wait(kind):
    queue = kind()
    handled = threading.Event()

    def send():
        assert handled.wait(20)
        queue.put("item")

    with Interruption(queue, handled.set):
        call = Call(send)
        assert queue.get(timeout=20) == "item"
    call.result()


def test_interrupted_while_the_item_comes_nothing_is_lost(kind):
    """In C: an item is either returned or still in the queue, whatever a signal handler raises."""
    if kind().statistics()["core"] != "native":
        pytest.skip("the Python twin may be interrupted between two steps")
    queue, got, raised, rounds = kind(), [], [], 60
    main = threading.main_thread().ident

    class Late(Exception):
        pass

    def handler(*_):
        raised.append(1)
        raise Late

    def disturb():
        for number in range(rounds):
            waiting(queue, 1)
            queue.put(number)
            while len(raised) == number:
                signal.pthread_kill(main, signal.SIGUSR1)
                until(lambda number=number: len(raised) > number or waiters(queue) == 1)
        queue.shutdown()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        call = Call(disturb)
        while not queue.is_shutdown:
            with suppress(Late):
                got.extend(queue)  # a loop in C: no step of Python between an item and the list
        call.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    got.extend(queue)
    assert sorted(got) == list(range(rounds))
