"""shutdown, as queue.Queue has it since Python 3.13, for all processes."""

import asyncio

import pytest

from penstock.errors import ShutDown
from process_queues import Child, until, waiting
from thread_queues import Call


def test_what_is_in_it_can_be_got(queue):
    queue.put_many("ab")
    queue.shutdown()
    assert queue.is_shutdown
    with pytest.raises(ShutDown):
        queue.put("c")
    with pytest.raises(ShutDown):
        queue.put_many("cd")
    with pytest.raises(ShutDown):
        queue.put_nowait("c")
    assert queue.get() == "a"
    assert queue.get_many(5) == ["b"]
    for block in (True, False):
        with pytest.raises(ShutDown):
            queue.get(block)
        with pytest.raises(ShutDown):
            queue.get_many(1, block)


def test_at_once(make):
    queue = make()
    queue.put_many("abc")
    assert queue.get() == "a"
    queue.shutdown(immediate=True)
    assert queue.qsize() == 0
    with pytest.raises(ShutDown):
        queue.get()
    assert queue.unfinished() == 1  # what was taken is still to be done
    queue.task_done()
    queue.join()
    facts = queue.statistics()
    assert (facts["dropped"], facts["gets"], facts["lost"]) == (2, 1, 0)


def test_twice(queue):
    queue.put(1)
    queue.shutdown()
    queue.shutdown()
    queue.shutdown(True)
    with pytest.raises(ShutDown):
        queue.get()
    assert queue.join(0)


@pytest.mark.parametrize("immediate", [False, True])
def test_who_waits_is_told(make, immediate):
    empty, full = make(), make(1)
    full.put(1)
    calls = [Call(empty.get), Call(empty.get), Call(empty.get_many, 3)]
    calls += [Call(full.put, 2), Call(full.put_many, [2])]
    waiting(empty, get=3)
    waiting(full, put=2)
    empty.shutdown(immediate)
    full.shutdown(immediate)
    for call in calls:
        with pytest.raises(ShutDown):
            call.result()


def test_joiners_of_a_queue_that_is_shut_down_at_once(queue):
    queue.put(1)
    joined = Call(queue.join)
    queue.shutdown(immediate=True)
    joined.result()


def test_join_goes_on_waiting_for_what_can_still_be_got(queue):
    queue.put(1)
    queue.shutdown()
    assert not queue.join(0)
    queue.get()
    queue.task_done()
    assert queue.join(0)


def test_other_processes_are_told(queue):
    def consume():
        with pytest.raises(ShutDown):
            queue.get()

    with Child(consume) as one, Child(consume) as other:
        waiting(queue, get=2)
        queue.shutdown()
        assert one.code() == other.code() == 0


def test_from_another_process(queue):
    call = Call(queue.get)
    waiting(queue, get=1)
    assert Child(queue.shutdown).code() == 0
    with pytest.raises(ShutDown):
        call.result()


def test_tasks_are_told(make):
    async def main():
        empty, full = make(), make(1)
        full.put(1)
        tasks = [asyncio.create_task(call) for call in (empty.aget(), full.aput(2))]
        await asyncio.to_thread(waiting, empty, get=1)
        await asyncio.to_thread(waiting, full, put=1)
        empty.shutdown()
        full.shutdown()
        for task in tasks:
            with pytest.raises(ShutDown):
                await task

    asyncio.run(main())


def test_a_batch_that_was_begun(make):
    queue = make(2)
    call = Call(queue.put_many, range(5))
    until(lambda: queue.qsize() == 2)
    waiting(queue, put=1)
    queue.shutdown()
    assert call.result() == 2
    assert queue.get_many(5) == [0, 1]
