"""A cancelled aget has taken nothing, a cancelled aput has put nothing, at whatever moment."""

import asyncio
import random

import pytest

from thread_queues import Call, in_line, soon, waiters


def run(main):
    asyncio.run(asyncio.wait_for(main(), 60))


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_while_it_waits(kind):
    async def main():
        queue, full = kind(), kind(1)
        full.put(0)
        tasks = [asyncio.create_task(call) for call in (queue.aget(), full.aput(1), full.ajoin())]
        await soon(lambda: waiters(queue) + waiters(full) == 3)
        for task in tasks:
            await cancelled(task)
        assert waiters(queue) == waiters(full) == 0
        assert full.get() == 0
        assert full.empty()
        assert full.unfinished_tasks == 1

    run(main)


def test_a_getter_that_was_called_already(fifo):
    async def main():
        queue = fifo()
        first, second = (asyncio.create_task(queue.aget()) for _ in range(2))
        await soon(lambda: waiters(queue) == 2)
        queue.put("one")
        assert queue.empty()
        await cancelled(first)
        assert await second == "one"

        third = asyncio.create_task(queue.aget())
        await soon(lambda: waiters(queue) == 1)
        queue.put_many(["two", "three"])
        await cancelled(third)
        assert queue.get_many(5) == ["two", "three"]

    run(main)


def test_getters_of_a_batch_of_which_some_are_cancelled(fifo):
    async def main():
        queue = fifo()
        tasks = [asyncio.create_task(queue.aget()) for _ in range(6)]
        await soon(lambda: waiters(queue) == 6)
        queue.put_many(range(5))
        for task in (tasks[0], tasks[3]):
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [item for item in done if isinstance(item, int)] == [0, 1, 2, 3]
        assert queue.get_many(5) == [4]

    run(main)


def test_a_thread_takes_over_from_a_cancelled_task(fifo):
    async def main():
        queue = fifo()
        task = asyncio.create_task(queue.aget())
        await soon(lambda: waiters(queue) == 1)
        [call] = in_line(queue, (queue.get,))
        queue.put("item")
        await cancelled(task)
        assert call.result() == "item"

    run(main)


def test_a_putter_that_was_called_already(kind):
    async def main():
        queue = kind(1)
        queue.put(0)
        first, second = (asyncio.create_task(queue.aput(item)) for item in (1, 2))
        await soon(lambda: waiters(queue) == 2)
        assert queue.get() == 0
        await cancelled(first)
        await second
        assert queue.get() == 2
        assert queue.empty()

    run(main)


def test_a_getter_with_a_predicate(kind):
    async def main():
        queue = kind()
        picky = asyncio.create_task(queue.aget(match=lambda item: item == 2))
        await soon(lambda: waiters(queue) == 1)
        behind = asyncio.create_task(queue.aget())
        await soon(lambda: waiters(queue) == 2)
        queue.put(1)
        await cancelled(picky)
        assert await behind == 1

    run(main)


def test_asyncio_wait_for(kind):
    async def main():
        queue = kind()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(queue.aget(), 0.001)
        queue.put(1)
        assert await asyncio.wait_for(queue.aget(), 1) == 1
        assert waiters(queue) == 0

    run(main)


class Storm:
    """Putters and getters in one loop, cancelled at random; notes what was put and what was got."""

    def __init__(self, queue, chance):
        self.queue, self.chance = queue, chance
        self.put, self.got = [], []
        self.putters, self.getters = [], []

    async def produce(self, item):
        await self.queue.aput(item)
        self.put.append(item)

    async def consume(self):
        async for item in self.queue:
            self.got.append(item)

    def cancel_one(self, tasks):
        if tasks and self.chance.random() < 0.3:
            self.chance.choice(tasks).cancel()

    async def rage(self, count):
        for item in range(count):
            self.putters.append(asyncio.create_task(self.produce(item)))
            if len([task for task in self.getters if not task.done()]) < 5:
                self.getters.append(asyncio.create_task(self.consume()))
            if self.chance.random() < 0.5:
                await asyncio.sleep(0)
            self.cancel_one(self.putters[-20:])
            self.cancel_one(self.getters[-5:])
        await asyncio.gather(*self.putters, return_exceptions=True)
        self.queue.shutdown()
        await asyncio.gather(*self.getters, return_exceptions=True)


def test_a_storm_of_cancellations_loses_and_duplicates_nothing(kind):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    queue = kind(4)
    storm = Storm(queue, random.Random(seed))
    threads = [Call(list, queue) for _ in range(2)]
    run(lambda: storm.rage(800))
    got = [item for thread in threads for item in thread.result()]
    assert sorted(got + storm.got) == sorted(storm.put)
