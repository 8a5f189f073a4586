"""`for item in queue` and `async for`, until the queue is shut down."""

import asyncio

import pytest

from thread_queues import Call, waiting


def test_until_shut_down(fifo):
    queue = fifo()
    call = Call(list, queue)
    queue.put_many(range(10))
    waiting(queue, 1)
    queue.put(10)
    queue.shutdown()
    assert call.result() == list(range(11))


def test_what_is_left_comes_out_first(fifo):
    queue = fifo()
    queue.put_many(range(3))
    queue.shutdown()
    assert list(queue) == [0, 1, 2]
    assert list(queue) == []


def test_several_share_the_items(kind):
    queue = kind()
    calls = [Call(list, queue) for _ in range(3)]
    queue.put_many(range(1000))
    queue.shutdown()
    assert sorted(item for call in calls for item in call.result()) == list(range(1000))


def test_an_iteration_may_be_left_and_resumed(fifo):
    queue = fifo()
    queue.put_many(range(4))
    for item in queue:
        if item == 1:
            break
    assert next(queue) == 2
    assert queue.qsize() == 1


def test_other_errors_come_through(heap):
    class Odd:
        def __lt__(self, other):
            if queue.qsize() == 3:
                raise LookupError("cannot compare")
            return False

    queue = heap()
    queue.put_many([Odd(), Odd(), Odd()])
    with pytest.raises(LookupError):
        next(queue)


def test_async_for(fifo):
    async def main():
        queue, items = fifo(), []

        async def read():
            items.extend([item async for item in queue])

        readers = [asyncio.create_task(read()) for _ in range(2)]
        await asyncio.sleep(0)
        await queue.aput_many(range(100))
        await asyncio.to_thread(queue.put, 100)
        queue.shutdown()
        await asyncio.gather(*readers)
        assert sorted(items) == list(range(101))

    asyncio.run(main())
