"""Waiting for results that are told: the plan alone, without the server that it is for."""

import pytest

from penstock.engines.redis import RedisServer
from penstock.errors import Uncertain
from penstock.plan import Listen
from penstock.results.redis import RedisStore
from penstock.url import Url


@pytest.fixture
def store():
    """Its connection that hears is not up yet, so that it looks before it listens."""
    return RedisStore(engine=RedisServer(Url.parse("redis://localhost")))


def test_a_first_look_whose_line_broke_is_repeated(store):
    plan = store._wait(["a"], 5.0)
    assert next(plan).name == "get"
    assert isinstance(plan.throw(Uncertain("the line broke")), Listen)
    plan.close()


def test_without_time_to_repeat_it_the_look_says_so(store):
    plan = store._wait(["a"], 0)
    next(plan)
    with pytest.raises(Uncertain):
        plan.throw(Uncertain("the line broke"))
