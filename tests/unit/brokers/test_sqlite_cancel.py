"""A cancelled ``await`` leaves no lease that nobody works on."""

import asyncio

import pytest


def test_a_claim_that_arrives_late_is_handed_back(broker, message):
    broker.publish([message()])
    broker.lease(["none"], 1, 10.0)  # registered, so that only the claim itself is in the way

    async def cancel():
        with broker.engine._turn:  # the claim stands in line
            claiming = asyncio.create_task(broker.alease(["q"], 1, 3600.0))
            while not broker.engine._line._led:  # noqa: ASYNC110 - until it stands in line
                await asyncio.sleep(0)
            claiming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await claiming

    asyncio.run(cancel())
    (lease,) = broker.lease(["q"], 1, 10.0)
    assert lease.deaths == 0


def test_cancelled_while_it_waits(broker, message):
    async def cancel():
        waiting = asyncio.create_task(broker.alease(["q"], 1, 3600.0, 60.0))
        while not broker.engine._bells._open:  # noqa: ASYNC110 - until it listens
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cancel())
    broker.publish([message()])
    assert len(broker.lease(["q"], 1, 10.0)) == 1
