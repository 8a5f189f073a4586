"""Soft limits of functions on threads: raised in the run that is over, never after it."""

import sys
import threading
import time

import pytest

from penstock.errors import SoftTimeLimitExceeded
from penstock.worker.soft_limits import ThreadLimits


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_function_that_takes_too_long_gets_the_exception_with_its_limit():
    limits = ThreadLimits()
    with pytest.raises(SoftTimeLimitExceeded) as raised, limits.over(0.02):
        spin(10)
    assert raised.value.args == (0.02,)


def test_a_function_may_catch_it_and_is_not_hit_again():
    limits = ThreadLimits()
    with limits.over(0.02):
        with pytest.raises(SoftTimeLimitExceeded):
            spin(10)
        spin(0.05)
        given = "cleaned up"
    assert given == "cleaned up"


def test_each_thread_has_its_own():
    limits = ThreadLimits()
    caught = {}

    def work(limit):
        try:
            with limits.over(limit):
                spin(0.3)
        except SoftTimeLimitExceeded as error:
            caught[limit] = error.args

    threads = [threading.Thread(target=work, args=(limit,)) for limit in (None, 0.05, 5.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert caught == {0.05: (0.05,)}


@pytest.fixture
def busy_switching():
    """Threads take turns every 20 us, so that a limit arrives anywhere."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(2e-5)
    yield
    sys.setswitchinterval(before)


def test_a_limit_that_comes_with_the_return_hits_nobody_else(busy_switching):
    """Runs that end just when their limit does, by the hundred, on four threads."""
    limits = ThreadLimits()
    strays, counts = [], {"over": 0, "in time": 0}

    def work():
        for turn in range(400):
            try:
                with limits.over(0.001):
                    spin(0.0008 + (turn % 5) * 0.0001)
                counts["in time"] += 1
            except SoftTimeLimitExceeded:
                counts["over"] += 1
            except BaseException as error:  # noqa: BLE001 - a stray one may be anything
                strays.append(error)
            try:  # whatever is still on its way would arrive here
                for _ in range(200):
                    pass
            except BaseException as error:  # noqa: BLE001 - a stray one may be anything
                strays.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert strays == []
    assert sum(counts.values()) == 1600
    assert counts["over"] > 100
    assert limits._watches == {}


def test_without_a_limit_no_thread_is_started():
    before = threading.active_count()
    with ThreadLimits().over(None):
        assert threading.active_count() == before
