"""How long a caller waits for a broker that is down, and what it is told in the end."""

import asyncio

import pytest

from penstock import Unavailable, Uncertain
from penstock.brokers.base import Capabilities
from penstock.clock import ManualClock
from penstock.tasks.publish import apublish, publish


class Flaky:
    """Answers as told: an error for each attempt that fails, then success."""

    def __init__(self, *errors, repeatable=True):
        self.capabilities = Capabilities(repeatable=repeatable)
        self.errors = list(errors)
        self.attempts = []

    def publish_in(self, messages, seconds):
        self.attempts.append(messages)
        if self.errors:
            raise self.errors.pop(0)

    async def apublish_in(self, messages, seconds):
        self.publish_in(messages, seconds)


def send(broker, timeout=5.0):
    clock = ManualClock()
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        clock.advance(seconds)

    publish(broker, ["m"], timeout=timeout, clock=clock, sleep=sleep)
    return pauses


def test_a_broker_that_comes_back_gets_the_same_messages_again():
    broker = Flaky(Unavailable("down"), Uncertain("cut off"))
    pauses = send(broker)
    assert broker.attempts == [["m"]] * 3
    assert len(pauses) == 2


def test_a_broker_that_stays_down_is_given_up_in_time():
    clock = ManualClock()
    began = clock.monotonic()
    with pytest.raises(Unavailable, match=r"down \(tried for 5 s; nothing was sent\)"):
        publish(
            Flaky(*[Unavailable("down")] * 1000),
            ["m"],
            timeout=5.0,
            clock=clock,
            sleep=clock.advance,
        )
    assert clock.monotonic() - began == pytest.approx(5.0)


def test_pauses_grow_and_are_spread():
    broker = Flaky(*[Unavailable("down")] * 6)
    pauses = send(broker, timeout=60.0)
    assert pauses[0] <= 0.05
    assert pauses[-1] > pauses[0]
    assert max(pauses) <= 1.0
    assert len(set(pauses)) == 6


def test_without_time_there_is_one_attempt():
    broker = Flaky(Unavailable("down"), Unavailable("down"))
    with pytest.raises(Unavailable):
        send(broker, timeout=0.0)
    assert len(broker.attempts) == 1


def test_doubt_is_not_repeated_where_that_could_store_twice():
    broker = Flaky(Uncertain("cut off", stored=("a",)), repeatable=False)
    with pytest.raises(Uncertain) as info:
        send(broker)
    assert info.value.stored == ("a",)
    assert len(broker.attempts) == 1


def test_once_in_doubt_it_never_says_that_nothing_was_sent():
    down = [Unavailable("down")] * 1000
    with pytest.raises(Uncertain) as info:
        send(Flaky(Uncertain("cut", stored=("a",)), Uncertain("cut", stored=("b",)), *down))
    assert info.value.stored == ("a", "b")


def test_awaiting_callers_have_the_same_patience():
    broker, clock = Flaky(*[Unavailable("down")] * 3), ManualClock()

    async def sleep(seconds):
        clock.advance(seconds)

    asyncio.run(apublish(broker, ["m"], timeout=5.0, clock=clock, sleep=sleep))
    assert len(broker.attempts) == 4
