"""The rules of block and timeout, on both sides."""

import math

import pytest

from penstock.errors import Empty, Full
from thread_queues import in_line, waiters


def test_get_takes_what_is_there(kind):
    queue = kind()
    queue.put(1)
    queue.put(2)
    queue.put(3)
    assert sorted([queue.get(), queue.get(False), queue.get(True, 5)]) == [1, 2, 3]


def test_not_waiting_for_an_item(kind):
    queue = kind()
    with pytest.raises(Empty):
        queue.get_nowait()
    with pytest.raises(Empty):
        queue.get(block=False)
    with pytest.raises(Empty):
        queue.get(False, 5)


def test_not_waiting_for_room(kind):
    queue = kind(1)
    queue.put(1)
    with pytest.raises(Full):
        queue.put_nowait(2)
    with pytest.raises(Full):
        queue.put(2, block=False)
    with pytest.raises(Full):
        queue.put(2, False, 5)
    assert queue.get() == 1
    assert queue.empty()


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_waiting_for_an_item_in_vain(kind, timeout):
    queue = kind()
    with pytest.raises(Empty):
        queue.get(timeout=timeout)
    assert waiters(queue) == 0


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_waiting_for_room_in_vain(kind, timeout):
    queue = kind(1)
    queue.put(1)
    with pytest.raises(Full):
        queue.put(2, timeout=timeout)
    assert waiters(queue) == 0
    assert queue.unfinished_tasks == 1


@pytest.mark.parametrize("timeout", [None, 10, 1e300, math.inf])
def test_a_waiting_get_gets(kind, timeout):
    queue = kind()
    [call] = in_line(queue, (queue.get, True, timeout))
    queue.put("item")
    assert call.result() == "item"


@pytest.mark.parametrize("timeout", [None, 10, 1e300, math.inf])
def test_a_waiting_put_puts(kind, timeout):
    queue = kind(1)
    queue.put(1)
    [call] = in_line(queue, (queue.put, 2, True, timeout))
    assert queue.get() == 1
    call.result()
    assert queue.get() == 2


def test_the_item_is_there_for_whoever_looks_in_time(kind):
    queue = kind()
    queue.put(1)
    assert queue.get(timeout=0) == 1
    queue.put(2, timeout=0)
    assert queue.qsize() == 1


def test_errors_are_those_of_the_standard_library_too(fifo):
    import queue as standard

    queue = fifo(1)
    with pytest.raises(standard.Empty):
        queue.get_nowait()
    queue.put(1)
    with pytest.raises(standard.Full, match="maxsize is 1"):
        queue.put_nowait(2)
