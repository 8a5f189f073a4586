"""aput, aget, ajoin and their batches: cancellation, order, loops, and the threads behind them."""

import asyncio
import threading

import pytest

from penstock.errors import Empty, Full
from penstock.queues import readiness
from process_queues import until, waiting
from thread_queues import Call


def watchers():
    names = {"penstock-items", "penstock-space", "penstock-done"}
    return [thread for thread in threading.enumerate() if thread.name in names]


async def settle():
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_at_once(queue):
    async def main():
        await queue.aput("a")
        assert await queue.aput_many("bc") == 2
        assert await queue.aget() == "a"
        assert await queue.aget_many(5) == ["b", "c"]
        queue.task_done(3)
        await queue.ajoin()

    asyncio.run(main())
    assert not watchers()


def test_without_waiting(make):
    queue = make(1)

    async def main():
        with pytest.raises(Empty):
            await queue.aget(block=False)
        with pytest.raises(Empty):
            await queue.aget_many(2, block=False)
        await queue.aput(1, block=False)
        with pytest.raises(Full):
            await queue.aput(2, block=False)
        with pytest.raises(Full):
            await queue.aput_many([2], block=False)

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_waiting_in_vain(make, timeout):
    queue = make(1)

    async def main():
        with pytest.raises(Empty):
            await queue.aget(timeout=timeout)
        await queue.aput(1)
        with pytest.raises(Full):
            await queue.aput(2, timeout=timeout)
        assert await queue.aget() == 1
        assert await queue.aput_many([1, 2, 3], timeout=timeout) == 1
        with pytest.raises(ValueError, match="timeout"):
            await queue.aget(timeout=-1)

    asyncio.run(main())


def test_an_item_from_elsewhere(queue):
    async def main():
        task = asyncio.create_task(queue.aget())
        await asyncio.to_thread(waiting, queue, get=1)
        await asyncio.to_thread(queue.put, "here")
        assert await task == "here"

    asyncio.run(main())


def test_room_from_elsewhere(make):
    queue = make(1)

    async def main():
        await queue.aput(1)
        task = asyncio.create_task(queue.aput_many([2, 3]))
        await asyncio.to_thread(waiting, queue, put=1)
        assert [await asyncio.to_thread(queue.get) for _ in range(3)] == [1, 2, 3]
        assert await task == 2

    asyncio.run(main())


def test_the_end_from_elsewhere(queue):
    async def main():
        await queue.aput(1)
        task = asyncio.create_task(queue.ajoin())
        await settle()
        assert not task.done()
        queue.get()
        await asyncio.to_thread(queue.task_done)
        await task

    asyncio.run(main())


def test_in_the_order_in_which_they_came(queue):
    async def main():
        tasks = [asyncio.create_task(queue.aget()) for _ in range(10)]
        await settle()
        await asyncio.to_thread(queue.put_many, range(10))
        assert await asyncio.gather(*tasks) == list(range(10))

    asyncio.run(main())


def test_putting_in_the_order_in_which_they_came(make):
    queue = make(1)

    async def main():
        await queue.aput("first")
        tasks = [asyncio.create_task(queue.aput(number)) for number in range(10)]
        await settle()
        found = [await queue.aget() for _ in range(11)]
        assert found == ["first", *range(10)]
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_a_latecomer_does_not_push_in(make):
    async def main():
        queue = make()
        first = asyncio.create_task(queue.aget())
        await settle()
        queue.put("a")
        second = asyncio.create_task(queue.aget())
        await settle()
        queue.put("b")
        assert (await first, await second) == ("a", "b")

    asyncio.run(main())


def test_cancelled_while_it_waits(make):
    async def main():
        queue = make(1)
        for _ in range(3):
            task = asyncio.create_task(queue.aget())
            await settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        queue.put("kept")
        blocked = asyncio.create_task(queue.aput("never"))
        await settle()
        blocked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await blocked
        assert await queue.aget() == "kept"
        assert queue.empty()

    asyncio.run(main())


def test_cancelled_when_it_was_just_woken(make):
    async def main():
        queue = make()
        for _ in range(20):
            first, second = (asyncio.create_task(queue.aget()) for _ in range(2))
            await settle()
            queue.put("item")  # the thread may wake the first at any moment now
            await asyncio.sleep(0)
            got_first = first.done() and not first.cancelled()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            if got_first or not first.cancelled():
                queue.put("another")
            assert await second in {"item", "another"}
            assert queue.empty()

    asyncio.run(main())


def test_many_cancellations_lose_and_repeat_nothing(make):
    async def consume(queue, found):
        while True:
            try:
                found.append(await asyncio.wait_for(asyncio.shield(one := take(queue)), 0.0005))
            except TimeoutError:
                one.cancel()
                for result in await asyncio.gather(one, return_exceptions=True):
                    if not isinstance(result, BaseException):
                        found.append(result)
                    elif not isinstance(result, asyncio.CancelledError):
                        raise result from None
            if found and found[-1] is None:
                return

    def take(queue):
        return asyncio.ensure_future(queue.aget())

    async def main():
        queue, found = make(4), []
        producer = Call(queue.put_many, [*range(300), None])
        await consume(queue, found)
        producer.result()
        assert found == [*range(300), None]

    asyncio.run(main())


def test_several_loops_and_threads(make):
    queue = make(3)
    results = make()

    async def consume():
        async for item in queue:
            await results.aput(item)

    def block():
        for item in queue:
            results.put(item)

    calls = [Call(asyncio.run, consume()) for _ in range(2)] + [Call(block)]
    for item in range(100):
        queue.put(item)
    queue.shutdown()
    for call in calls:
        call.result()
    assert sorted(results.get_many(200)) == list(range(100))


def test_a_loop_that_stands_still_holds_up_no_other(make):
    queue = make()
    stopped = asyncio.new_event_loop()

    async def begin():
        task = asyncio.ensure_future(queue.aget())
        await settle()
        return task

    task = stopped.run_until_complete(begin())  # its loop does not run any more
    try:
        call = Call(asyncio.run, queue.aget())
        waiting(queue, get=1)
        queue.put("for who runs")
        assert call.result() == "for who runs"
    finally:
        task.cancel()
        stopped.run_until_complete(asyncio.gather(task, return_exceptions=True))
        stopped.close()


def test_a_loop_that_was_closed_holds_up_no_other(make):
    queue = make()
    closed = asyncio.new_event_loop()

    async def begin():
        task = asyncio.ensure_future(queue.aget())
        await settle()
        return task

    task = closed.run_until_complete(begin())
    closed.close()
    queue.put(1)
    assert asyncio.run(queue.aget()) == 1
    task._log_destroy_pending = False


def test_the_threads_end_with_the_queue(make):
    queue = make()

    async def main():
        task = asyncio.create_task(queue.aget())
        await settle()
        assert len(watchers()) == 1
        await asyncio.to_thread(queue.close)
        with pytest.raises(ValueError, match="closed"):
            await task
        with pytest.raises(ValueError, match="closed"):
            await queue.aget()

    asyncio.run(main())
    assert not watchers()


def test_the_threads_end_when_nobody_waits_any_more(make, monkeypatch):
    monkeypatch.setattr(readiness, "_SLICE", 0.05)
    monkeypatch.setattr(readiness, "_IDLE", 0.05)
    queue = make()

    async def main():
        with pytest.raises(Empty):
            await queue.aget(timeout=0.001)

    asyncio.run(main())
    until(lambda: not watchers())


def test_the_threads_end_with_a_queue_that_is_forgotten(kind):
    async def main():
        with pytest.raises(Empty):
            await kind(max_bytes=4096).aget(timeout=0.001)

    asyncio.run(main())
    until(lambda: not watchers())


def test_unpicklable_items_raise_in_the_task(queue):
    async def main():
        with pytest.raises((AttributeError, TypeError, ValueError)):
            await queue.aput(lambda: None)

    asyncio.run(main())
    assert queue.empty()
