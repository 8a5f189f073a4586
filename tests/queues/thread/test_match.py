"""get(match=...): the first item that satisfies, the others as they were."""

import asyncio
import threading

import pytest

from penstock.errors import Empty, ShutDown
from thread_queues import Call, soon, until, waiters, waiting


def even(number):
    return number % 2 == 0


def odd(number):
    return number % 2 == 1


def test_the_first_that_satisfies_and_the_others_keep_their_order(fifo):
    queue = fifo()
    queue.put_many([1, 3, 4, 5, 6])
    assert queue.get(match=even) == 4
    assert queue.get(match=even, block=False) == 6
    assert queue.get_many(9) == [1, 3, 5]


def test_the_newest_that_satisfies(module):
    queue = module.LifoQueue()
    queue.put_many([1, 3, 4, 5, 6, 7])
    assert queue.get(match=even) == 6
    assert queue.get(match=even) == 4
    assert queue.get_many(9) == [7, 5, 3, 1]


def test_the_least_that_satisfies(heap):
    queue = heap()
    queue.put_many([9, 8, 1, 6, 7, 4, 3])
    assert queue.get(match=even) == 4
    assert queue.get(match=even) == 6
    assert queue.get_many(9) == [1, 3, 7, 8, 9]


def test_none_is_no_predicate(kind):
    queue = kind()
    queue.put(1)
    assert queue.get(match=None) == 1


def test_nothing_satisfies(kind):
    queue = kind()
    queue.put_many([1, 3])
    with pytest.raises(Empty):
        queue.get(match=even, block=False)
    with pytest.raises(Empty):
        queue.get(match=even, timeout=0.001)
    assert waiters(queue) == 0
    assert sorted(queue.get_many(5)) == [1, 3]


def test_waiting_for_one_that_satisfies(kind):
    queue = kind()
    queue.put(1)
    call = Call(queue.get, match=even)
    waiting(queue, 1)
    queue.put(3)
    queue.put(4)
    assert call.result() == 4
    assert sorted(queue.get_many(5)) == [1, 3]


def test_each_item_is_offered_once(kind):
    """No busy loop: who waits looks at what is new and at nothing else."""
    queue, seen = kind(), []

    def never(item):
        seen.append(item)
        return False

    queue.put_many(range(5))
    call = Call(queue.get, match=never)
    for item in range(5, 20):
        until(lambda item=item: len(seen) == item)
        queue.put(item)
    until(lambda: len(seen) == 20)
    assert sorted(seen) == list(range(20))
    queue.shutdown()
    with pytest.raises(ShutDown):
        call.result()
    assert sorted(seen) == list(range(20))


def test_the_predicate_runs_in_the_thread_that_waits(kind):
    queue, threads = kind(), set()

    def note(item):
        threads.add(threading.get_ident())
        return item == "last"

    call = Call(queue.get, match=note)
    waiting(queue, 1)
    queue.put("first")
    until(lambda: threads)
    queue.put("last")
    assert call.result() == "last"
    assert threads == {call.ident}


def test_an_exception_reaches_the_getter_that_gave_the_predicate(kind):
    def fail(item):
        raise LookupError(item)

    queue = kind()
    call = Call(queue.get, match=fail)
    waiting(queue, 1)
    queue.put("item")
    with pytest.raises(LookupError, match="item"):
        call.result()
    with pytest.raises(LookupError):
        queue.get(match=fail)
    with pytest.raises(LookupError):
        queue.get(match=fail, block=False)
    with pytest.raises(LookupError):
        asyncio.run(queue.aget(match=fail))
    assert waiters(queue) == 0
    assert queue.get_nowait() == "item"


def test_a_timeout_error_of_the_predicate_is_its_own(kind):
    def fail(item):
        raise TimeoutError("mine")

    queue = kind()
    queue.put(1)
    with pytest.raises(TimeoutError, match="mine"):
        asyncio.run(queue.aget(match=fail, timeout=5))


def test_in_a_task(kind):
    async def main():
        queue = kind()
        queue.put_many([1, 2, 3])
        assert await queue.aget(match=even) == 2
        with pytest.raises(Empty):
            await queue.aget(match=even, block=False)
        with pytest.raises(Empty):
            await queue.aget(match=even, timeout=0.001)
        task = asyncio.create_task(queue.aget(match=even))
        await soon(lambda: waiters(queue) == 1)
        queue.put(5)
        await asyncio.to_thread(queue.put, 6)
        assert await task == 6
        assert sorted(queue.get_many(9)) == [1, 3, 5]

    asyncio.run(main())


def test_shutdown_ends_waiting_for_what_will_not_come(kind):
    queue = kind()
    queue.put(1)
    call = Call(queue.get, match=even)
    waiting(queue, 1)
    queue.shutdown()
    with pytest.raises(ShutDown):
        call.result()
    with pytest.raises(ShutDown):
        queue.get(match=even)
    with pytest.raises(ShutDown):
        queue.get(match=even, block=False)
    assert queue.get(match=odd) == 1


def test_who_does_not_wait_may_take_what_others_look_at(kind):
    looking, go_on = threading.Event(), threading.Event()

    def slow(item):
        looking.set()
        return go_on.wait(20)

    queue = kind()
    call = Call(queue.get, match=slow)
    queue.put("first")
    assert looking.wait(20)
    assert queue.get_nowait() == "first"
    go_on.set()
    waiting(queue, 1)
    queue.put("second")
    assert call.result() == "second"


def test_a_predicate_may_use_the_queue(kind):
    queue = kind()

    def forward(item):
        if item == 1:
            queue.put(2)
            return False
        return True

    queue.put(1)
    assert queue.get(match=forward) == 2
    assert queue.get() == 1


def test_a_predicate_may_take_the_item_itself(kind):
    queue, taken = kind(), []

    def steal(item):
        if not taken:
            taken.append(queue.get_nowait())
        return True

    queue.put(1)
    with pytest.raises(Empty):
        queue.get(match=steal, block=False)
    assert taken == [1]
    assert queue.empty()


def test_two_kinds_of_consumers(kind):
    queue, got = kind(3), {even: [], odd: []}

    def consume(kind):
        for _ in range(300):
            got[kind].append(queue.get(match=kind))

    def produce():
        for number in range(0, 600, 3):  # three in a row, so that no order of turns is needed
            queue.put_many([number, number + 1, number + 2])

    calls = [Call(consume, even), Call(consume, odd)]
    # A full queue whose items all wait for one consumer is that consumer's to empty.
    queue.maxsize = 0
    produce()
    for call in calls:
        call.result()
    assert sorted(got[even]) == list(range(0, 600, 2))
    assert sorted(got[odd]) == list(range(1, 600, 2))


def test_replies_find_who_asked(fifo):
    queue = fifo()
    calls = {
        number: Call(queue.get, match=lambda reply, number=number: reply[0] == number)
        for number in range(30)
    }
    waiting(queue, 30)
    for number in reversed(range(30)):
        queue.put((number, f"answer {number}"))
    for number, call in calls.items():
        assert call.result() == (number, f"answer {number}")
    assert queue.empty()
