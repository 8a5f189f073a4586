import asyncio
import os
import select

import pytest

from penstock.engines.memory_bells import Bells, ahear


@pytest.fixture(params=["eventfd", "pipe"])
def bells(request, monkeypatch):
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("this system has no eventfd")
    return Bells()


@pytest.fixture
def listener(bells):
    listener = bells.listen(("work:a", "done"))
    yield listener
    listener.close()


def readable(listener):
    return bool(select.select([listener.fileno()], [], [], 0)[0])


def test_hears_each_of_its_bells_and_no_other(bells, listener):
    bells.ring(["work:b"])
    assert not readable(listener)
    for name in ("work:a", "done"):
        bells.ring([name])
        assert readable(listener)
        assert listener.wait(0)
        assert not readable(listener)


def test_many_rings_are_one(bells, listener):
    for _ in range(100_000):
        bells.ring(["done"])
    assert listener.wait(0)
    assert not listener.wait(0)


def test_a_wait_ends_with_its_time(listener):
    assert not listener.wait(0.01)


def test_a_closed_listener_is_rung_no_more(bells, listener):
    other = bells.listen(("done",))
    descriptor = other.fileno()
    other.close()
    other.close()
    reader, writer = os.pipe()  # one of them has the number of the closed descriptor
    try:
        assert descriptor in (reader, writer)
        bells.ring(["done"])
        assert not select.select([reader], [], [], 0)[0]
    finally:
        os.close(reader)
        os.close(writer)
    assert readable(listener)


def test_awaiting_a_ring(bells, listener):
    async def hear():
        ringing = asyncio.get_running_loop().call_soon(bells.ring, ["done"])
        heard = await ahear(listener, 10)
        ringing.cancel()
        return heard, await ahear(listener, 0.01)

    assert asyncio.run(hear()) == (True, False)


def test_a_cancelled_await_keeps_the_ring(bells, listener):
    async def cancel():
        hearing = asyncio.create_task(ahear(listener, 10))
        await asyncio.sleep(0)
        hearing.cancel()
        bells.ring(["done"])
        await asyncio.wait([hearing])

    asyncio.run(cancel())
    assert listener.wait(0)
