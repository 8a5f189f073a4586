"""Who has just published looks for the answer for a moment before going to sleep."""

import math
import os
import time

import pytest

from penstock.engines.keen import NEVER, Keen

FOUND = [(3, 1)]
LONG = 1_000.0


class Poller:
    """Finds something at the n-th look, and notes how long each was to wait (ms)."""

    def __init__(self, finds_at=math.inf, during=lambda: None):
        self.asked = []
        self._finds_at = finds_at
        self._during = during

    def poll(self, timeout):
        self.asked.append(timeout)
        self._during()
        return FOUND if len(self.asked) >= self._finds_at or timeout != 0 else []


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture
def keen():
    keen = Keen(LONG)
    keen.rouse()
    return keen


def test_after_a_publication_it_looks_without_sleeping(keen):
    poller = Poller(finds_at=5)
    assert keen.poll(poller, 20.0) == FOUND
    assert poller.asked == [0] * 5


def test_nobody_else_looks_so(keen):
    for one in (Keen(LONG), NEVER):
        poller = Poller()
        assert one.poll(poller, 20.0) == FOUND
        (asked,) = poller.asked
        assert 19_000 < asked <= 20_000
    poller = Poller()
    assert Keen(LONG).poll(poller, None) == FOUND
    assert poller.asked == [None]


def test_it_sleeps_after_a_moment():
    keen = Keen(0.002)
    keen.rouse()
    poller = Poller()
    assert keen.poll(poller, None) == FOUND
    *looks, last = poller.asked
    assert set(looks) == {0}
    assert last is None


def test_a_timeout_ends_it_earlier(keen):
    poller = Poller()
    began = time.monotonic()
    assert keen.poll(poller, 0.002) == []
    assert time.monotonic() - began < LONG / 10
    assert poller.asked[-1] == 0, "nothing was left of it to sleep"


def test_one_at_a_time_does(keen):
    second = Poller()
    first = Poller(finds_at=1, during=lambda: keen.poll(second, 20.0))
    keen.poll(first, None)
    assert first.asked == [0]
    assert all(asked > 0 for asked in second.asked)
    third = Poller(finds_at=2)
    keen.poll(third, None)
    assert third.asked == [0, 0], "the first one is over"


def test_one_core_is_left_to_the_worker(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    keen = Keen(LONG)
    keen.rouse()
    poller = Poller()
    keen.poll(poller, None)
    assert poller.asked == [None]
