"""asend, arecv, asend_bytes and arecv_bytes."""

import asyncio
import os
import random
import signal

import pytest

import pipe_calls
import pipe_children
from penstock.errors import PeerDied

LARGE = 3_000_000


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def a_moment():
    """Lets all that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_there_and_back(pair):
    left, right = pair

    async def main():
        await left.asend({"a": 1})
        assert await right.arecv() == {"a": 1}
        await right.asend_bytes(b"abcdef", 1, 3)
        assert await left.arecv_bytes() == b"bcd"
        await left.asend(b"x" * 100)
        with pytest.raises(OSError, match="bad message length"):
            await right.arecv_bytes(10)

    run(main())


@pytest.mark.parametrize("size", [10, 5000, LARGE])
def test_one_waits_for_the_other(pair, size):
    left, right = pair
    data = os.urandom(size)

    async def main():
        receiving = asyncio.create_task(right.arecv())
        await a_moment()
        assert not receiving.done()
        await left.asend(data)
        assert await receiving == data
        sending = asyncio.create_task(left.asend_bytes(data))
        await a_moment()
        assert sending.done() == (size < LARGE)
        assert await right.arecv_bytes() == data
        await sending

    run(main())


def test_a_coroutine_and_a_thread(pair):
    left, right = pair
    items = [i if i % 10 else b"x" * 30_000 for i in range(1000)]
    call = pipe_calls.Call(lambda: [left.send(item) for item in items])

    async def main():
        received = [await right.arecv() for _ in items]
        for item in received:
            await right.asend(item)
        return received

    back = pipe_calls.Call(lambda: [left.recv() for _ in items])
    assert run(main()) == items
    assert back.result() == items
    call.result()


def test_many_coroutines_at_one_end(pair):
    left, right = pair
    count = 50

    async def main():
        receivers = [asyncio.create_task(right.arecv()) for _ in range(2 * count)]
        await a_moment()
        large = [asyncio.create_task(left.asend((i, b"x" * 100_000))) for i in range(count)]
        small = [asyncio.create_task(left.asend((count + i, b""))) for i in range(count)]
        await asyncio.gather(*large, *small)
        assert [(await receiver)[0] for receiver in receivers] == list(range(2 * count))

    run(main())


def test_a_cancelled_receiver_loses_nothing(pair):
    left, right = pair

    async def main():
        dice = random.Random(1)
        received = []
        for i in range(200):
            receiving = asyncio.create_task(right.arecv())
            await asyncio.sleep(0)
            if dice.random() < 0.5:
                left.send(i)
                await asyncio.sleep(0) if dice.random() < 0.5 else await asyncio.sleep(0.0005)
                receiving.cancel()
                got = await asyncio.gather(receiving, return_exceptions=True)
                received += [one for one in got if not isinstance(one, BaseException)]
            else:
                receiving.cancel()
                left.send(i)
            while right.poll():
                received.append(await right.arecv())
        assert received == list(range(200))

    run(main())


def test_a_receiver_cancelled_in_the_middle_of_a_message(pair):
    left, right = pair
    data = os.urandom(LARGE)

    async def main():
        sending = left._sending_bytes(data)
        assert sending.step() is False
        receiving = asyncio.create_task(right.arecv_bytes())
        await a_moment()
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        receiving = asyncio.create_task(right.arecv_bytes())
        while sending.step() is not True:
            await a_moment()
        assert await receiving == data

    run(main())


def test_a_cancelled_sender_has_sent_nothing(pair):
    left, right = pair

    async def main():
        await left.asend("before")
        sending = asyncio.create_task(left.asend(b"x" * LARGE))
        await a_moment()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        after = asyncio.create_task(left.asend("after"))
        assert [await right.arecv(), await right.arecv()] == ["before", "after"]
        await after

    run(main())


def test_the_end_wakes_coroutines(pair, one_way):
    left, right = pair
    reader, writer = one_way

    async def main():
        waiting = [
            asyncio.create_task(right.arecv()),
            asyncio.create_task(writer.asend(b"x" * LARGE)),
        ]
        await a_moment()
        left.close()
        reader.close()
        with pytest.raises(PeerDied):
            await waiting[0]
        with pytest.raises(BrokenPipeError):
            await waiting[1]

    run(main())


@pytest.mark.parametrize("from_thread", [False, True])
def test_closing_the_own_end_wakes_coroutines(pair, from_thread):
    left, right = pair

    async def main():
        waiting = [
            asyncio.create_task(right.arecv()),
            asyncio.create_task(right.asend(b"x" * LARGE)),
            asyncio.create_task(right.asend(b"in line")),
        ]
        await a_moment()
        if from_thread:
            await asyncio.to_thread(right.close)
        else:
            right.close()
        for task in waiting:
            with pytest.raises(OSError, match="closed"):
                await task

    run(main())
    with pytest.raises(PeerDied):
        left.recv()


def test_wrong_directions(one_way):
    reader, writer = one_way

    async def main():
        with pytest.raises(OSError, match="read-only"):
            await reader.asend(1)
        with pytest.raises(OSError, match="write-only"):
            await writer.arecv()
        with pytest.raises(OSError, match="read-only"):
            await reader.asend_bytes(b"")
        with pytest.raises(OSError, match="write-only"):
            await writer.arecv_bytes()

    run(main())


def test_one_loop_after_the_other(pair):
    left, right = pair

    async def main():
        receiving = asyncio.create_task(right.arecv())
        await a_moment()
        await left.asend(1)
        return await receiving

    assert [run(main()) for _ in range(3)] == [1, 1, 1]


def test_a_thread_waits_at_the_same_end(pair):
    left, right = pair
    call = pipe_calls.Call(right.recv)
    pipe_calls.until(lambda: pipe_calls.asleep(call.native_id))

    async def main():
        receiving = asyncio.create_task(right.arecv())
        await a_moment()
        left.send_many([1, 2])
        return await receiving

    assert {run(main()), call.result()} == {1, 2}


def test_the_user_may_watch_the_same_end(pair):
    left, right = pair

    async def main():
        loop = asyncio.get_running_loop()
        seen = asyncio.Event()
        loop.add_reader(right, seen.set)
        receiving = asyncio.create_task(right.arecv())
        await a_moment()
        left.send(1)
        assert await receiving == 1
        left.send(2)
        await seen.wait()
        loop.remove_reader(right)
        assert await right.arecv() == 2

    run(main())


def test_a_killed_process(pair):
    left, right = pair

    def child():
        left.close()
        pipe_children.sleep_with(right)

    pid = pipe_calls.fork(child)
    right.close()

    async def main():
        assert await left.arecv() == "ready"
        receiving = asyncio.create_task(left.arecv())
        await a_moment()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(PeerDied):
            await receiving

    run(main())
    assert pipe_calls.joined(pid) == -signal.SIGKILL
