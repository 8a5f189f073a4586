"""aput, aget, ajoin: the same rules in tasks, of any number of loops, together with threads."""

import asyncio
import threading

import pytest

from penstock.errors import Empty, Full, ShutDown
from thread_queues import Call, in_line, soon, waiters


def run(main):
    """As asyncio.run does, with a limit."""
    asyncio.run(asyncio.wait_for(main(), 30))


def test_put_and_get(kind):
    async def main():
        queue = kind(2)
        await queue.aput(1)
        await queue.aput(2, timeout=1)
        with pytest.raises(Full):
            await queue.aput(3, block=False)
        with pytest.raises(Full):
            await queue.aput(3, timeout=0)
        with pytest.raises(Full):
            await queue.aput(3, timeout=0.001)
        assert {await queue.aget(), await queue.aget(timeout=1)} == {1, 2}
        with pytest.raises(Empty):
            await queue.aget(block=False)
        with pytest.raises(Empty):
            await queue.aget(timeout=0)
        with pytest.raises(Empty):
            await queue.aget(timeout=0.001)
        assert waiters(queue) == 0

    run(main)


def test_batches(kind):
    async def main():
        queue = kind(3)
        put = asyncio.create_task(queue.aput_many(range(1000)))
        items = []
        while len(items) < 1000:
            batch = await queue.aget_many(10)
            assert 1 <= len(batch) <= 10
            items += batch
        assert await put == 1000
        assert sorted(items) == list(range(1000))
        with pytest.raises(Empty):
            await queue.aget_many(2, block=False)
        assert await queue.aput_many([1, 2, 3, 4], timeout=0.001) == 3
        with pytest.raises(Full):
            await queue.aput_many([4, 5], block=False)
        assert await queue.aput_many([]) == 0
        with pytest.raises(ValueError, match="1 or more"):
            await queue.aget_many(0)

    run(main)


def test_a_waiting_task_gets_what_a_thread_puts(kind):
    async def main():
        queue = kind()
        tasks = [asyncio.create_task(queue.aget()) for _ in range(3)]
        await soon(lambda: waiters(queue) == 3)
        call = Call(queue.put_many, [1, 2, 3])
        assert sorted(await asyncio.gather(*tasks)) == [1, 2, 3]
        call.result()

    run(main)


def test_a_waiting_thread_gets_what_a_task_puts(kind):
    queue = kind()
    [call] = in_line(queue, (queue.get,))
    run(lambda: queue.aput("item"))
    assert call.result() == "item"


def test_a_waiting_task_puts_when_a_thread_makes_room(kind):
    async def main():
        queue = kind(1)
        queue.put(1)
        task = asyncio.create_task(queue.aput(2))
        await soon(lambda: waiters(queue) == 1)
        assert await asyncio.to_thread(queue.get) == 1
        await task
        assert queue.get() == 2

    run(main)


def test_join(kind):
    async def main():
        queue = kind()
        await queue.ajoin()
        queue.put_many([1, 2])
        task = asyncio.create_task(queue.ajoin())
        await soon(lambda: waiters(queue) == 1)
        queue.get_many(2)
        await asyncio.to_thread(queue.task_done)
        assert not task.done()
        queue.task_done()
        await task

    run(main)


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_ends_all_waiting(kind, immediate):
    async def main():
        empty, full = kind(), kind(1)
        full.put(0)
        tasks = [asyncio.create_task(empty.aget()) for _ in range(2)]
        tasks += [asyncio.create_task(full.aput(item)) for item in range(2)]
        await soon(lambda: waiters(empty) == waiters(full) == 2)
        await asyncio.to_thread(empty.shutdown, immediate)
        full.shutdown(immediate)
        for task in tasks:
            with pytest.raises(ShutDown):
                await task
        with pytest.raises(ShutDown):
            await empty.aget()
        with pytest.raises(ShutDown):
            await full.aput(1)

    run(main)


def test_negative_timeouts(kind):
    async def main():
        queue = kind(1)
        for _ in range(2):
            for call in (queue.aget, lambda timeout: queue.aput(1, timeout=timeout)):
                with pytest.raises(ValueError, match="timeout"):
                    await call(timeout=-1)
        with pytest.raises(ValueError, match="timeout"):
            await queue.aput_many([1], timeout=-1)

    run(main)


def test_one_wake_up_of_a_loop_for_all_that_are_due(fifo):
    async def main():
        queue = fifo()
        tasks = [asyncio.create_task(queue.aget()) for _ in range(50)]
        await soon(lambda: waiters(queue) == 50)
        loop, calls = asyncio.get_running_loop(), []
        wake = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args, **kwargs: (calls.append(args), wake(*args))[1]
        thread = threading.Thread(target=queue.put_many, args=[range(50)])
        thread.start()
        thread.join()  # the loop does not run meanwhile
        assert len(calls) == 1
        assert await asyncio.gather(*tasks) == list(range(50))
        loop.call_soon_threadsafe = wake

    run(main)


def test_many_loops_and_threads_at_once(kind):
    queue, back = kind(7), kind()

    async def consume():
        async def one():
            async for item in queue:
                await back.aput(item)
                queue.task_done()

        await asyncio.gather(*(one() for _ in range(5)))

    async def produce(first):
        for item in range(first, first + 200):
            await queue.aput(item)

    consumers = [Call(run, consume) for _ in range(3)]
    producers = [Call(run, lambda first=first: produce(first)) for first in range(0, 600, 200)]
    producers += [Call(queue.put_many, range(600, 800))]
    for producer in producers:
        producer.result()
    queue.join()
    queue.shutdown()
    for consumer in consumers:
        consumer.result()
    assert sorted(back.get_many(1000)) == list(range(800))


def test_a_closed_loop_is_passed_over(kind):
    """Its tasks will never run; what they were called for goes to the next one."""
    queue = kind()
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.aget())
    loop.run_until_complete(asyncio.sleep(0))
    assert waiters(queue) == 1
    loop.close()
    [call] = in_line(queue, (queue.get,))
    queue.put("item")
    assert call.result() == "item"
    assert waiters(queue) == 0
    task._log_destroy_pending = False


def test_a_task_that_was_forgotten_leaves_the_line(kind):
    queue = kind()
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.aget())
    loop.run_until_complete(asyncio.sleep(0))
    queue.put("item")
    assert queue.empty()
    task._log_destroy_pending = False
    coroutine = task.get_coro()
    coroutine.close()
    assert queue.get_nowait() == "item"
    loop.close()


def test_in_a_loop_in_debug_mode(fifo):
    async def main():
        queue = fifo()
        task = asyncio.create_task(queue.aget())
        await soon(lambda: waiters(queue) == 1)
        await asyncio.to_thread(queue.put, 1)
        assert await task == 1

    asyncio.run(main(), debug=True)
