"""The rules of block and timeout, on both sides, as queue.Queue has them."""

import math
import time

import pytest

from penstock.errors import Empty, Full
from process_queues import waiting
from thread_queues import Call


def test_get_takes_what_is_there(queue):
    queue.put(1)
    queue.put(2)
    queue.put(3)
    assert [queue.get(), queue.get(False), queue.get(True, 5)] == [1, 2, 3]


def test_not_waiting_for_an_item(queue):
    with pytest.raises(Empty):
        queue.get_nowait()
    with pytest.raises(Empty):
        queue.get(block=False)
    with pytest.raises(Empty):
        queue.get(False, 5)


def test_not_waiting_for_room(make):
    queue = make(1)
    queue.put(1)
    with pytest.raises(Full):
        queue.put_nowait(2)
    with pytest.raises(Full):
        queue.put(2, block=False)
    with pytest.raises(Full):
        queue.put(2, False, 5)
    assert queue.get() == 1
    assert queue.empty()


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_waiting_in_vain(make, timeout):
    queue = make(1)
    begin = time.monotonic()
    with pytest.raises(Empty):
        queue.get(timeout=timeout)
    queue.put(1)
    with pytest.raises(Full):
        queue.put(2, timeout=timeout)
    assert time.monotonic() - begin >= 2 * timeout
    assert queue.qsize() == 1


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan])
def test_a_timeout_is_not_negative(queue, timeout):
    with pytest.raises(ValueError, match="timeout"):
        queue.put(1, timeout=timeout)
    queue.put(1)
    with pytest.raises(ValueError, match="timeout"):
        queue.get(timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        queue.get_many(1, timeout=timeout)
    assert queue.qsize() == 1


def test_a_negative_timeout_means_nothing_without_waiting(queue):
    queue.put(1, False, -1)
    assert queue.get(False, -1) == 1


def test_a_timeout_is_a_number(queue):
    with pytest.raises(TypeError):
        queue.get(timeout="soon")
    assert queue.put(1, timeout=1e12) is None
    assert queue.get(timeout=math.inf) == 1


def test_get_waits_for_an_item(queue):
    call = Call(queue.get)
    waiting(queue, get=1)
    queue.put("here")
    assert call.result() == "here"


def test_put_waits_for_room(make):
    queue = make(1)
    queue.put(1)
    call = Call(queue.put, 2)
    waiting(queue, put=1)
    assert queue.get() == 1
    call.result()
    assert queue.get() == 2


def test_put_waits_for_bytes(make):
    queue = make(max_bytes=4096)
    queue.put(bytes(1500))
    queue.put(bytes(1500))
    call = Call(queue.put, bytes(1500))
    waiting(queue, put=1)
    assert queue.get() == bytes(1500)
    call.result()
    assert queue.qsize() == 2


def test_everybody_who_waits_gets_one(queue):
    calls = [Call(queue.get) for _ in range(5)]
    waiting(queue, get=5)
    queue.put_many(range(5))
    assert sorted(call.result() for call in calls) == list(range(5))
