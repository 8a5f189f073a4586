"""put_many and get_many."""

import pytest

from penstock.errors import Empty, Full
from thread_queues import in_line


def test_all_at_once(fifo):
    queue = fifo()
    assert queue.put_many(range(5)) == 5
    assert queue.get_many(3) == [0, 1, 2]
    assert queue.get_many(3) == [3, 4]


def test_least_first(heap):
    queue = heap()
    queue.put_many([3, 1, 2])
    assert queue.get_many(2) == [1, 2]


def test_any_iterable_is_put_and_nothing_of_it_gets_lost(fifo):
    queue = fifo(2)
    items = iter(range(4))
    assert queue.put_many(items, block=False) == 2
    assert list(items) == []  # it was read to its end: put a list where that matters
    assert queue.get_many(5) == [0, 1]


def test_no_items(kind):
    queue = kind(1)
    assert queue.put_many([]) == 0
    queue.put(1)
    assert queue.put_many([], block=False) == 0


def test_as_many_as_there_is_room_for(kind):
    queue = kind(3)
    queue.put(0)
    assert queue.put_many([1, 2, 3, 4], block=False) == 2
    with pytest.raises(Full):
        queue.put_many([3, 4], block=False)
    with pytest.raises(Full):
        queue.put_many([3, 4], timeout=0.001)
    queue.get()
    assert queue.put_many([3, 4], timeout=0.001) == 1


def test_waiting_for_room(fifo):
    queue = fifo(2)
    [call] = in_line(queue, (queue.put_many, range(7)))
    assert [queue.get() for _ in range(7)] == list(range(7))
    assert call.result() == 7


def test_waiting_for_the_first_only(kind):
    queue = kind()
    [call] = in_line(queue, (queue.get_many, 10))
    queue.put(1)
    assert call.result() == [1]


def test_waiting_in_vain(kind):
    queue = kind()
    with pytest.raises(Empty):
        queue.get_many(3, block=False)
    with pytest.raises(Empty):
        queue.get_many(3, timeout=0.001)


def test_a_batch_wakes_all_who_wait(kind):
    queue = kind()
    calls = in_line(queue, *[(queue.get,)] * 5)
    queue.put_many(range(7))
    assert sorted([call.result() for call in calls] + queue.get_many(9)) == list(range(7))


def test_taking_a_batch_lets_all_in_who_wait(fifo):
    queue = fifo(3)
    queue.put_many([0, 1, 2])
    calls = in_line(queue, *((queue.put, item) for item in (3, 4, 5)))
    assert queue.get_many(3) == [0, 1, 2]
    for call in calls:
        call.result()
    assert queue.get_many(5) == [3, 4, 5]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_is_none(kind, limit):
    queue = kind()
    queue.put(1)
    with pytest.raises(ValueError, match="1 or more"):
        queue.get_many(limit)
    assert queue.qsize() == 1
