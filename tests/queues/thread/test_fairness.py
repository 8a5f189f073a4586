"""First come, first served: getters, putters, threads and tasks mixed."""

import asyncio
import threading

import pytest

from thread_queues import Call, in_line, soon, until, waiters, waiting


def even(number):
    return number % 2 == 0


@pytest.mark.parametrize("batch", [True, False])
def test_getters_in_threads(fifo, batch):
    queue = fifo()
    calls = in_line(queue, *[(queue.get,)] * 8)
    if batch:
        queue.put_many(range(8))
    else:
        for item in range(8):
            queue.put(item)
    assert [call.result() for call in calls] == list(range(8))


def test_putters_in_threads(fifo):
    queue = fifo(2)
    queue.put_many([0, 1])
    calls = in_line(queue, *((queue.put, item) for item in range(2, 10)))
    assert [queue.get() for _ in range(10)] == list(range(10))
    for call in calls:
        call.result()


def test_getters_in_threads_and_tasks_by_turns(fifo):
    async def main():
        queue, calls = fifo(), []
        for turn in range(8):
            if turn % 2:
                calls.append(asyncio.create_task(queue.aget()))
            else:
                calls.append(asyncio.create_task(asyncio.to_thread(queue.get)))
            await soon(lambda turn=turn: waiters(queue) == turn + 1)
        queue.put_many(range(8))
        assert await asyncio.gather(*calls) == list(range(8))

    asyncio.run(main())


def test_putters_in_threads_and_tasks_by_turns(fifo):
    async def main():
        queue, calls = fifo(1), []
        queue.put(0)
        for turn in range(1, 9):
            if turn % 2:
                calls.append(asyncio.create_task(queue.aput(turn)))
            else:
                calls.append(asyncio.create_task(asyncio.to_thread(queue.put, turn)))
            await soon(lambda turn=turn: waiters(queue) == turn)
        assert [await queue.aget() for _ in range(9)] == list(range(9))
        await asyncio.gather(*calls)

    asyncio.run(main())


def test_a_newcomer_does_not_overtake_a_waiting_getter(kind):
    queue = kind()
    [first] = in_line(queue, (queue.get,))
    queue.put("first")
    newcomer = Call(queue.get)
    assert first.result() == "first"
    waiting(queue, 1)
    queue.put("second")
    assert newcomer.result() == "second"


def test_a_newcomer_does_not_overtake_a_waiting_putter(kind):
    queue = kind(1)
    queue.put(1)
    [first] = in_line(queue, (queue.put, 2))
    assert queue.get() == 1
    newcomer = Call(queue.put, 3)
    first.result()
    assert queue.get() == 2
    newcomer.result()
    assert queue.get() == 3


def test_a_getter_with_a_predicate_has_its_turn(kind):
    queue = kind()
    picky = Call(queue.get, match=even)
    waiting(queue, 1)
    [other] = in_line(queue, (queue.get,))
    queue.put(2)  # both would take it
    assert picky.result() == 2
    queue.put(4)
    assert other.result() == 4


def test_what_a_predicate_refuses_goes_to_the_next(kind):
    queue = kind()
    picky = Call(queue.get, match=even)
    waiting(queue, 1)
    other, last = in_line(queue, (queue.get,), (queue.get, True, 20))
    queue.put(1)
    assert other.result() == 1
    queue.put(3)
    assert last.result() == 3
    queue.put(4)
    assert picky.result() == 4


def test_two_predicates_that_both_accept(kind):
    queue = kind()
    calls = []
    for turn in range(5):
        calls.append(Call(queue.get, match=even))
        waiting(queue, turn + 1)
    for turn, call in enumerate(calls):
        queue.put(2 * turn)
        assert call.result() == 2 * turn


def test_a_slow_predicate_holds_up_only_those_behind_it(kind):
    looking, go_on = threading.Event(), threading.Event()

    def slow(item):
        looking.set()
        go_on.wait(20)
        return False

    queue = kind()
    [first] = in_line(queue, (queue.get,))
    picky = Call(queue.get, match=slow)
    waiting(queue, 2)
    [behind] = in_line(queue, (queue.get,))
    queue.put("one")
    assert first.result() == "one"
    queue.put("two")
    assert looking.wait(20)
    assert behind.is_alive()
    go_on.set()
    assert behind.result() == "two"
    queue.shutdown()
    until(lambda: not picky.is_alive())


def test_a_newcomer_with_a_predicate_waits_for_who_looks_already(kind):
    looking, go_on = threading.Event(), threading.Event()

    def slow(item):
        looking.set()
        return go_on.wait(20)

    queue = kind()
    first = Call(queue.get, match=slow)
    waiting(queue, 1)
    queue.put(2)
    assert looking.wait(20)
    second = Call(queue.get, match=even)
    waiting(queue, 2)
    go_on.set()
    assert first.result() == 2
    queue.put(4)
    assert second.result() == 4


def test_what_is_promised_to_another_is_looked_at_again_when_it_comes_free(fifo):
    """A task was called for the first item and has not run yet; so only the second is free."""
    looking, go_on = threading.Event(), threading.Event()

    def slow(item):
        looking.set()
        go_on.wait(20)
        looks.append(item)
        return item == "first"

    looks = []
    queue = fifo()
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.aget())
    loop.run_until_complete(asyncio.sleep(0))
    queue.put("first")
    queue.put("second")
    picky = Call(queue.get, match=slow)
    assert looking.wait(20)
    assert queue.get_nowait() == "second"
    go_on.set()
    until(lambda: looks)  # and it could not have it
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    assert picky.result() == "first"
    assert looks == ["first", "first"]
