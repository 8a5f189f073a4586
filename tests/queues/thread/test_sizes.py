"""qsize, empty, full, maxsize: exact, and maxsize may change."""

import pytest

from penstock.errors import Full
from thread_queues import in_line, waiting


def test_sizes_are_exact(kind):
    queue = kind(2)
    assert (queue.qsize(), queue.empty(), queue.full()) == (0, True, False)
    queue.put(1)
    assert (queue.qsize(), queue.empty(), queue.full()) == (1, False, False)
    queue.put(2)
    assert (queue.qsize(), queue.empty(), queue.full()) == (2, False, True)
    queue.get()
    assert (queue.qsize(), queue.empty(), queue.full()) == (1, False, False)


@pytest.mark.parametrize("maxsize", [0, -1])
def test_no_limit(kind, maxsize):
    queue = kind(maxsize)
    assert queue.put_many(range(1000)) == 1000
    assert not queue.full()
    assert queue.maxsize == maxsize


def test_an_item_on_its_way_to_a_waiting_getter_is_gone_for_others(kind):
    queue = kind(1)
    [call] = in_line(queue, (queue.get,))
    queue.put(1)
    queue.put(2, block=False)  # which has room, whether or not the first one has arrived
    assert queue.qsize() == 1
    assert queue.full()
    assert {call.result(), queue.get()} == {1, 2}


def test_raising_maxsize_lets_waiting_putters_in_in_their_order(fifo):
    queue = fifo(1)
    queue.put(0)
    calls = in_line(queue, *((queue.put, item) for item in (1, 2, 3, 4)))
    queue.maxsize = 4
    for call in calls[:3]:
        call.result()
    assert queue.qsize() == 4
    waiting(queue, 1)
    queue.maxsize = 0
    calls[3].result()
    assert queue.get_many(10) == [0, 1, 2, 3, 4]


def test_raising_maxsize_of_the_others(kind):
    queue = kind(1)
    queue.put(0)
    calls = in_line(queue, (queue.put, 1), (queue.put, 2))
    queue.maxsize = 3
    for call in calls:
        call.result()
    assert sorted(queue.get_many(10)) == [0, 1, 2]


def test_lowering_maxsize_throws_nothing_away(kind):
    queue = kind()
    queue.put_many([1, 2, 3])
    queue.maxsize = 1
    assert queue.full()
    for _ in range(2):
        queue.get()
        with pytest.raises(Full):
            queue.put_nowait(9)
    queue.get()
    queue.put_nowait(4)
    assert queue.get() == 4
