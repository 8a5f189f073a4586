"""Who comes out when: first, last, least."""

import heapq
from functools import total_ordering

from hypothesis import given
from hypothesis import strategies as st


@total_ordering
class Ranked:
    """Equal to whatever has the same rank, but another object."""

    def __init__(self, rank, name):
        self.rank, self.name = rank, name

    def __lt__(self, other):
        return self.rank < other.rank

    def __eq__(self, other):
        return self.rank == other.rank

    __hash__ = None


def drain(queue):
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_first_in_first_out(fifo):
    queue = fifo()
    for item in "abc":
        queue.put(item)
    assert drain(queue) == ["a", "b", "c"]


def test_last_in_first_out(module):
    queue = module.LifoQueue()
    for item in "abc":
        queue.put(item)
    assert queue.get() == "c"
    queue.put("d")
    assert drain(queue) == ["d", "b", "a"]


def test_least_first(heap):
    queue = heap()
    for item in (5, 1, 4, 1, 3):
        queue.put(item)
    assert drain(queue) == [1, 1, 3, 4, 5]


def test_order_survives_growing_and_shrinking(fifo):
    queue = fifo()
    queue.put_many(range(20_000))
    assert queue.get_many(15_000) == list(range(15_000))
    queue.put_many(range(20_000, 30_000))
    assert queue.get_many(15_000) == list(range(15_000, 30_000))


def test_ties_are_those_of_heapq(module):
    @given(st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=60))
    def check(steps):
        """A number is put under that rank, None takes one."""
        queue, heap = module.PriorityQueue(), []
        for name, rank in enumerate(steps):
            if rank is not None:
                queue.put(Ranked(rank, name))
                heapq.heappush(heap, Ranked(rank, name))
            elif heap:
                assert queue.get().name == heapq.heappop(heap).name
        assert [item.name for item in drain(queue)] == [
            heapq.heappop(heap).name for _ in range(len(heap))
        ]

    check()
