"""How long a call waits for a broker that is down, in both colours, and what it raises then."""

import asyncio
import time

import pytest

from penstock import Unavailable, Uncertain
from penstock.brokers.base import Capabilities
from penstock.clock import SYSTEM_CLOCK
from penstock.durable.steps import Ask, Caller, Pause


class Flaky:
    """Answers as told: an error for each attempt that fails, then what it was asked."""

    def __init__(self, *errors, repeatable=True):
        self.capabilities = Capabilities(repeatable=repeatable)
        self.errors = list(errors)
        self.attempts = 0

    def publish(self, *arguments):
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return arguments

    settle = tend = publish

    async def apublish(self, *arguments):
        return self.publish(*arguments)

    asettle = apublish


def asking(method):
    yield Pause(0.0)
    return (yield Ask(method, (1, 2)))


def blocking(broker, work, patience):
    return Caller(broker=broker, clock=SYSTEM_CLOCK).run(work, patience)


def awaiting(broker, work, patience):
    return asyncio.run(Caller(broker=broker, clock=SYSTEM_CLOCK).arun(work, patience))


both = pytest.mark.parametrize("run", [blocking, awaiting])


@both
@pytest.mark.parametrize("method", ["publish", "settle", "tend"])
def test_a_broker_that_comes_back_is_asked_again(run, method):
    broker = Flaky(Unavailable("down"), Uncertain("cut off"))
    assert run(broker, asking(method), 30.0) == (1, 2)
    assert broker.attempts == 3


@both
def test_a_broker_that_stays_down_is_given_up_in_time(run):
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"down \(tried for 0.05 s; nothing was done\)"):
        run(Flaky(*[Unavailable("down")] * 1000), asking("publish"), 0.05)
    assert 0.05 <= time.monotonic() - began < 5


@both
def test_without_patience_there_is_one_attempt(run):
    broker = Flaky(Unavailable("down"))
    with pytest.raises(Unavailable):
        run(broker, asking("settle"), 0.0)
    assert broker.attempts == 1


@both
def test_doubt_about_a_publication_is_not_repeated_where_that_could_store_twice(run):
    broker = Flaky(Uncertain("cut off"), repeatable=False)
    with pytest.raises(Uncertain):
        run(broker, asking("publish"), 30.0)
    assert broker.attempts == 1
    broker = Flaky(Uncertain("cut off"), repeatable=False)
    assert run(broker, asking("settle"), 30.0) == (1, 2)


@both
def test_work_hears_of_errors_and_may_mend_them(run):
    def mending():
        try:
            yield Ask("publish", ())
        except RuntimeError:
            return "mended"

    assert run(Flaky(RuntimeError("bug")), mending(), 0.0) == "mended"
