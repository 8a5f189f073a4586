"""When a task runs again, and as what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.tasks.options import TaskOptions
from penstock.tasks.retry import (
    autoretry_delay,
    backoff,
    may_retry,
    next_call,
    wants_autoretry,
)
from penstock.wire.task import Call


def highest(_low, high):
    return high


@given(st.integers(0, 10_000), st.floats(1, 100), st.floats(1, 10_000))
def test_backoff_stays_within_its_bounds(retries, factor, most):
    assert 0.0 <= backoff(retries, factor=factor, most=most, draw=None) <= most


def test_backoff_doubles_up_to_its_limit():
    options = TaskOptions.of({"retry_backoff": 2, "retry_backoff_max": 20, "retry_jitter": False})
    assert [autoretry_delay(options, n) for n in range(5)] == [2.0, 4.0, 8.0, 16.0, 20.0]


def test_jitter_is_full():
    options = TaskOptions.of({"retry_backoff": True})
    draws = []
    autoretry_delay(options, 3, draw=lambda low, high: draws.append((low, high)) or 0.0)
    assert draws == [(0.0, 8.0)]


def test_without_backoff_the_delay_is_the_task_s():
    assert autoretry_delay(TaskOptions.of({}), 0) == 180.0
    assert autoretry_delay(TaskOptions.of({"default_retry_delay": 2}), 0) == 2.0
    assert autoretry_delay(TaskOptions.of({"retry_kwargs": {"countdown": 7}}), 0) == 7.0


def test_autoretry_is_for_the_classes_it_names():
    options = TaskOptions.of(
        {"autoretry_for": (OSError,), "dont_autoretry_for": (FileNotFoundError,)}
    )
    assert wants_autoretry(options, ConnectionError())
    assert not wants_autoretry(options, FileNotFoundError())
    assert not wants_autoretry(options, ValueError())


@pytest.mark.parametrize(
    ("retries", "most", "allowed"), [(0, 3, True), (2, 3, True), (3, 3, False), (9, None, True)]
)
def test_retries_are_bounded(retries, most, allowed):
    assert may_retry(retries, most) is allowed


def test_the_next_call_keeps_its_id_and_counts():
    call = Call(task="t", id="i", args=(1,), kwargs={}, root_id="r")
    again = next_call(call, at=5.0)
    assert (again.id, again.retries, again.eta, again.args) == ("i", 1, 5.0, (1,))
    assert (again.root_id, again.parent_id) == ("r", "i")
    assert next_call(again, at=9.0, args=(2,)).args == (2,)
