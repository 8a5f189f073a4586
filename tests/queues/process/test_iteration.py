"""`for` and `async for`, until the queue is shut down."""

import asyncio

from thread_queues import Call


def test_until_it_is_shut_down(queue):
    queue.put_many("abc")
    queue.shutdown()
    assert list(queue) == ["a", "b", "c"]
    assert list(queue) == []


def test_while_it_is_filled(make):
    queue = make(1)
    call = Call(list, queue)
    for item in range(10):
        queue.put(item)
    queue.shutdown()
    assert call.result() == list(range(10))


def test_breaking_off_takes_no_more(queue):
    queue.put_many("abc")
    for item in queue:
        assert item == "a"
        break
    assert queue.qsize() == 2


def test_in_tasks(make):
    async def consume(queue):
        return [item async for item in queue]

    async def main():
        queue = make(2)
        first, second = (asyncio.create_task(consume(queue)) for _ in range(2))
        for item in range(20):
            await queue.aput(item)
        queue.shutdown()
        assert sorted([*await first, *await second]) == list(range(20))

    asyncio.run(main())
