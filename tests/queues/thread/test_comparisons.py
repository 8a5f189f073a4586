"""Comparisons of a priority queue that fail: who hears of it, and what stays."""

import asyncio

import pytest

from penstock.errors import Empty
from thread_queues import Call, in_line, soon, waiters, waiting


class Fragile(int):
    """Compares until it is told to fail."""

    failing = False

    def __lt__(self, other):
        if Fragile.failing:
            raise LookupError("cannot compare")
        return int(self) < int(other)


@pytest.fixture
def failing():
    """A switch: failing() makes comparisons fail, failing(False) mends them."""
    yield lambda on=True: setattr(Fragile, "failing", on)
    Fragile.failing = False


def drain(queue):
    return [int(queue.get_nowait()) for _ in range(queue.qsize())]


def test_items_that_do_not_compare(heap):
    queue = heap()
    queue.put_many([2, 1])
    with pytest.raises(TypeError):
        queue.put("three")
    assert (queue.qsize(), queue.unfinished_tasks) == (2, 2)
    assert drain(queue) == [1, 2]


def test_a_put_that_fails_changes_nothing(heap, failing):
    queue = heap(8)
    queue.put_many(map(Fragile, (5, 3, 4, 1, 2)))
    failing()
    for put in (queue.put, queue.put_nowait, lambda item: queue.put_many([item])):
        with pytest.raises(LookupError):
            put(Fragile(0))
    with pytest.raises(LookupError):
        asyncio.run(queue.aput(Fragile(0)))
    failing(False)
    assert queue.unfinished_tasks == 5
    assert drain(queue) == [1, 2, 3, 4, 5]


def test_a_get_that_fails_changes_nothing(heap, failing):
    queue = heap()
    queue.put_many(map(Fragile, (5, 3, 4, 1, 2)))
    failing()
    for get in (queue.get, queue.get_nowait, lambda: queue.get_many(2)):
        with pytest.raises(LookupError):
            get()
    with pytest.raises(LookupError):
        asyncio.run(queue.aget())
    with pytest.raises(LookupError):
        queue.get(match=lambda item: item > 3)
    failing(False)
    assert drain(queue) == [1, 2, 3, 4, 5]


def test_a_batch_that_fails_half_way_gives_what_it_took(heap, failing):
    queue, compared = heap(), []

    class Third(int):
        def __lt__(self, other):
            compared.append(self)
            if len(compared) == limit:
                raise LookupError
            return int(self) < int(other)

    limit = 0
    queue.put_many(map(Third, range(6)))
    limit = len(compared) + 4
    taken = queue.get_many(6)
    assert 1 <= len(taken) < 6
    assert [*map(int, taken), *drain(queue)] == list(range(6))


def test_a_waiting_putter_hears_of_its_own_comparison(heap):
    queue = heap(2)
    queue.put_many([1, 2])
    wrong, right = in_line(queue, (queue.put, "three"), (queue.put, 3))
    assert queue.get() == 1  # whose caller does not hear of it
    with pytest.raises(TypeError):
        wrong.result()
    right.result()
    assert drain(queue) == [2, 3]


def test_a_waiting_task_hears_of_its_own_comparison(heap):
    async def main():
        queue = heap(2)
        queue.put_many([1, 2])
        wrong = asyncio.create_task(queue.aput("three"))
        await soon(lambda: waiters(queue) == 1)
        right = asyncio.create_task(queue.aput(3))
        await soon(lambda: waiters(queue) == 2)
        assert queue.get() == 1
        with pytest.raises(TypeError):
            await wrong
        await right
        assert drain(queue) == [2, 3]

    asyncio.run(main())


def test_a_waiting_getter_of_a_batch_that_does_not_compare(heap):
    queue = heap()
    [call] = in_line(queue, (queue.get,))
    with pytest.raises(TypeError):
        queue.put_many([1, "two"])
    assert call.result() == 1
    with pytest.raises(Empty):
        queue.get_nowait()


def test_a_predicate_and_comparisons(heap, failing):
    queue = heap()
    call = Call(queue.get, match=lambda item: item > 3)
    waiting(queue, 1)
    failing()
    queue.put(Fragile(5))  # alone in the heap: nothing to compare
    assert call.result() == 5
