"""Rate limits and time limits, without waiting for either."""

import math
import signal
from types import SimpleNamespace

import pytest

from penstock.message import Lease, Message
from penstock.worker.crew import Slot, Verdict, Work
from penstock.worker.limits import RateLimit, TimeLimits
from penstock.worker.protocol import TaskPolicy


def test_messages_are_spaced_evenly_and_keep_their_moment():
    limit = RateLimit(10.0)
    assert limit.admit("a", 0.0) == 0.0
    assert limit.admit("b", 0.0) == pytest.approx(0.1)
    assert limit.admit("c", 0.0) == pytest.approx(0.2)
    assert limit.admit("b", 0.05) == pytest.approx(0.05)
    assert limit.admit("b", 0.1) == 0.0
    assert limit.admit("c", 0.25) == 0.0


def test_a_pause_is_not_saved_up():
    limit = RateLimit(1.0)
    limit.admit("a", 0.0)
    assert limit.admit("b", 100.0) == 0.0
    assert limit.admit("c", 100.0) == pytest.approx(1.0)


@pytest.fixture
def kills():
    return []


@pytest.fixture
def limits(kills):
    return TimeLimits(lambda slot, number: kills.append((slot, number)))


def run(*, soft=None, hard=None, own=(None, None), begun=100.0):
    lease = Lease(Message(id="i", queue="q", headers={}, body=b""), 1, 0.0, 1)
    header = SimpleNamespace(id="i", task="t", timelimit=own)
    policy = TaskPolicy(soft_time_limit=soft, time_limit=hard)
    return Work(1, lease, header, policy, 0.0, begun_at=begun)


def slot_of(capacity):
    return Slot(7, None, capacity)


def test_soft_first_then_hard(limits, kills):
    work, slot = run(soft=1.0, hard=1.04), slot_of(1)
    limits.watch(work, slot)
    assert limits.next() == 101.0
    assert limits.enforce(101.0) == []
    assert limits.enforce(101.03) == []
    assert limits.next() == 101.04
    assert limits.enforce(101.04) == [(work, slot)]
    assert work.verdict is Verdict.TIME_LIMIT
    assert kills == [(7, signal.SIGUSR1)]
    assert limits.next() is None
    assert limits.enforce(103.0) == []


def test_a_soft_limit_is_told_until_it_must_have_been_heard(limits, kills):
    """An executor that was late to begin does not heed a signal before its own clock says so."""
    limits.watch(run(soft=1.0), slot_of(1))
    at = []
    while (due := limits.next()) != math.inf:
        assert limits.enforce(due) == []
        at.append(due - 101.0)
    assert at == pytest.approx([0, 0.05, 0.15, 0.35, 0.75, 1.55, 3.15, 6.35, 12.75])
    assert kills == [(7, signal.SIGUSR1)] * len(at)


def test_an_executor_that_runs_several_is_not_signalled(limits, kills):
    limits.watch(run(soft=1.0), slot_of(4))
    assert limits.next() is None
    work, slot = run(soft=1.0, hard=2.0), slot_of(4)
    limits.watch(work, slot)
    assert limits.next() == 102.0
    assert limits.enforce(102.0) == [(work, slot)]
    assert kills == []


def test_the_message_has_the_last_word(limits):
    limits.watch(run(hard=50.0, own=(3.0, None)), slot_of(1))
    assert limits.next() == 103.0


def test_a_run_that_ended_is_left_alone(limits, kills):
    work = run(hard=1.0)
    limits.watch(work, slot_of(1))
    limits.forget(work)
    assert limits.enforce(1_000.0) == []
    assert kills == []


def test_without_limits_nothing_is_watched(limits):
    limits.watch(run(), slot_of(1))
    assert limits.next() is None
