"""Soft limits of coroutines: raised at their await, as a cancellation on the way."""

import asyncio

import pytest

from penstock.errors import SoftTimeLimitExceeded
from penstock.worker.loop_limits import within

FOREVER = 1000
LIMIT = 0.01


def run(coroutine, limit=LIMIT):
    return asyncio.run(within(limit, coroutine))


def test_it_is_raised_at_the_await():
    seen = []

    async def work():
        try:
            await asyncio.sleep(FOREVER)
        except SoftTimeLimitExceeded as error:
            seen.append(error.args)
            raise

    with pytest.raises(SoftTimeLimitExceeded) as raised:
        run(work())
    assert seen == [(LIMIT,)]
    assert type(raised.value) is SoftTimeLimitExceeded
    assert raised.value.args == (LIMIT,)
    assert "work" in [entry.name for entry in raised.traceback]


def test_whoever_catches_it_may_go_on_and_is_not_hit_again():
    async def work():
        try:
            await asyncio.sleep(FOREVER)
        except SoftTimeLimitExceeded:
            await asyncio.sleep(3 * LIMIT)
            return asyncio.current_task().cancelling()

    assert run(work()) == 0


def test_in_time_it_changes_nothing():
    async def work():
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    async def both():
        value = await within(LIMIT, work())
        await asyncio.sleep(3 * LIMIT)  # nothing arrives later
        return value

    assert asyncio.run(both()) == 0
    assert run(work(), limit=None) == 0


def test_what_the_coroutine_raises_comes_out_as_it_is():
    async def work():
        await asyncio.sleep(0)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run(work())


def test_groups_end_their_tasks():
    ended = []

    async def part(number):
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            ended.append(number)
            raise

    async def work():
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(part(number))

    with pytest.raises(SoftTimeLimitExceeded):
        run(work())
    assert sorted(ended) == [0, 1, 2]


@pytest.mark.parametrize("wrap", [asyncio.gather, asyncio.shield, asyncio.ensure_future])
def test_it_reaches_through_what_is_awaited(wrap):
    async def work():
        async with asyncio.timeout(FOREVER):
            await wrap(asyncio.sleep(FOREVER))

    with pytest.raises(SoftTimeLimitExceeded):
        run(work())


def test_a_timeout_of_its_own_stays_one():
    async def work():
        async with asyncio.timeout(LIMIT):
            await asyncio.sleep(FOREVER)

    with pytest.raises(TimeoutError) as raised:
        run(work(), limit=FOREVER)
    assert not isinstance(raised.value, SoftTimeLimitExceeded)


def test_a_cancellation_from_outside_stays_one():
    async def main():
        async def work():
            started.set()
            await asyncio.sleep(FOREVER)

        started = asyncio.Event()
        task = asyncio.create_task(within(FOREVER, work()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        return raised.value

    assert type(asyncio.run(main())) is asyncio.CancelledError
