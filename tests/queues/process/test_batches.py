"""put_many and get_many."""

import pytest

from penstock.errors import Empty, Full
from process_queues import waiting
from thread_queues import Call


def test_all_at_once(queue):
    assert queue.put_many(range(5)) == 5
    assert queue.get_many(3) == [0, 1, 2]
    assert queue.get_many(3) == [3, 4]


def test_any_iterable(queue):
    assert queue.put_many(number for number in range(3)) == 3
    assert queue.put_many("ab") == 2
    assert queue.put_many({"key": 1}) == 1
    assert queue.get_many(10) == [0, 1, 2, "a", "b", "key"]


def test_no_items(make):
    queue = make(1)
    assert queue.put_many([]) == 0
    queue.put(1)
    assert queue.put_many([], block=False) == 0
    with pytest.raises(TypeError):
        queue.put_many(5)


def test_as_many_as_there_is_room_for(make):
    queue = make(3)
    queue.put(0)
    assert queue.put_many([1, 2, 3, 4], block=False) == 2
    with pytest.raises(Full):
        queue.put_many([3, 4], block=False)
    with pytest.raises(Full):
        queue.put_many([3, 4], timeout=0.001)
    queue.get()
    assert queue.put_many([3, 4], timeout=0.001) == 1
    assert queue.get_many(9) == [1, 2, 3]


def test_waiting_for_room(make):
    queue = make(2)
    call = Call(queue.put_many, range(7))
    assert [queue.get() for _ in range(7)] == list(range(7))
    assert call.result() == 7


def test_waiting_for_the_first_only(queue):
    call = Call(queue.get_many, 10)
    waiting(queue, get=1)
    queue.put(1)
    assert call.result() == [1]


def test_none_in_time(queue):
    with pytest.raises(Empty):
        queue.get_many(5, block=False)
    with pytest.raises(Empty):
        queue.get_many(5, timeout=0.001)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one(queue, limit):
    queue.put(1)
    with pytest.raises(ValueError, match="limit"):
        queue.get_many(limit)
    with pytest.raises(TypeError):
        queue.get_many("all")
    assert queue.get_many(10**12) == [1]


def test_more_than_the_memory_holds(make):
    queue = make(max_bytes=4096)
    items = [bytes([number % 256]) * 500 for number in range(100)]
    call = Call(queue.put_many, items)
    found = []
    while len(found) < 100:
        found += queue.get_many(7)
    assert found == items
    assert call.result() == 100


def test_large_and_small_ones(make):
    queue = make(max_bytes=8192)
    items = [1, b"x" * 3000, 2, b"y" * 50_000, 3, b"z" * 3000, "end"]
    call = Call(queue.put_many, items)
    found = []
    while len(found) < len(items):
        found += queue.get_many(10)
    assert found == items
    call.result()
