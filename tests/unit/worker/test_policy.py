"""How much is claimed and who gets it: pure decisions over the books."""

from types import SimpleNamespace

import pytest

from penstock.message import Lease, Message
from penstock.worker import policy
from penstock.worker.crew import Crew, Phase, Slot, Work
from penstock.worker.protocol import TaskPolicy


class NoChannel:
    def recall(self):
        return []


def crew_of(*capacities):
    crew = Crew()
    for index, capacity in enumerate(capacities):
        crew.slots[index] = Slot(index, NoChannel(), capacity, phase=Phase.READY)
    return crew


def work(crew, *, alone=False, since=0.0):
    lease = Lease(Message(id="i", queue="q", headers={}, body=b""), 1, 0.0, 1)
    header = SimpleNamespace(id="i", task="t", timelimit=(None, None))
    return Work(crew.new_tag(), lease, header, TaskPolicy(), since, alone=alone)


def give(crew, count, **kwargs):
    crew.waiting.extend(work(crew, **kwargs) for _ in range(count))


def assign(crew, pace, now=0.0):
    out = []
    for item, slot in policy.assignments(crew, pace, now):
        crew.waiting.popleft()
        slot.take(item, now)
        out.append((item.tag, slot.index))
    return out


def paced(runtime):
    pace = policy.Pace()
    pace.add(runtime)
    return pace


def test_nothing_is_claimed_ahead_before_a_task_was_measured():
    assert policy.room(crew_of(1, 1), policy.Pace(), 0.0) == 2


@pytest.mark.parametrize(
    ("runtime", "ahead"), [(0.000_01, 128), (0.001, 8), (0.004, 2), (0.009, 0), (10.0, 0)]
)
def test_what_is_held_ahead_is_some_milliseconds_of_work(runtime, ahead):
    assert paced(runtime).ahead() == ahead


def test_the_mean_follows_what_runs():
    pace = paced(0.001)
    for _ in range(50):
        pace.add(0.1)
    assert pace.ahead() == 0


def test_idle_executors_get_theirs_first():
    crew = crew_of(1, 1, 1)
    give(crew, 5)
    assert [slot for _, slot in assign(crew, paced(0.004))] == [0, 1, 2, 0, 1]


def test_a_long_task_has_nothing_behind_it():
    crew = crew_of(1, 1)
    give(crew, 5)
    assert len(assign(crew, paced(1.0))) == 2
    assert len(crew.waiting) == 3


def test_an_executor_that_is_starting_or_leaving_gets_nothing():
    crew = crew_of(1, 1)
    crew.slots[0].phase = Phase.STARTING
    crew.slots[1].phase = Phase.LEAVING
    give(crew, 1)
    assert assign(crew, policy.Pace()) == []
    assert policy.room(crew, policy.Pace(), 0.0) == 0


def test_what_runs_alone_waits_for_an_empty_executor_and_shares_it_with_nobody():
    crew = crew_of(4)
    give(crew, 1)
    assign(crew, policy.Pace())
    give(crew, 1, alone=True)
    give(crew, 1)
    assert assign(crew, policy.Pace()) == []
    slot = crew.slots[0]
    slot.answered(next(iter(slot.held)))
    assert len(assign(crew, policy.Pace())) == 1
    assert slot.exclusive
    assert not slot.takes_tasks


def test_what_sits_behind_a_silent_task_is_taken_back():
    crew = crew_of(1, 1)
    give(crew, 4)
    pace = paced(0.000_1)
    assign(crew, pace, now=0.0)
    assert policy.stuck(crew, now=policy.PATIENCE / 2) == []
    assert policy.stuck(crew, now=policy.PATIENCE * 2) == list(crew.slots.values())


def test_what_sits_behind_a_busy_executor_is_taken_back_for_an_idle_one():
    crew = crew_of(1, 1)
    crew.slots[1].phase = Phase.STARTING
    give(crew, 4)
    pace = paced(0.001)
    assign(crew, pace)
    crew.slots[1].phase = Phase.READY
    assert policy.stuck(crew, now=0.0) == [crew.slots[0]]


def test_nothing_is_claimed_to_wait_behind_a_long_task():
    crew = crew_of(1)
    give(crew, 1)
    pace = paced(0.000_1)
    assign(crew, pace, now=0.0)
    assert policy.room(crew, pace, now=0.0) == pace.ahead()
    assert policy.room(crew, pace, now=policy.PATIENCE * 2) == 0
    give(crew, 1)
    assert assign(crew, pace, now=policy.PATIENCE * 2) == []


def test_a_single_running_task_is_never_stuck():
    crew = crew_of(1)
    give(crew, 1)
    assign(crew, policy.Pace())
    assert policy.stuck(crew, now=1_000.0) == []


def test_what_nobody_here_can_take_goes_back_to_the_broker():
    crew = crew_of(1)
    give(crew, 1, since=0.0)
    give(crew, 1, since=policy.KEEP_WAITING)
    due = policy.overdue(crew, now=policy.KEEP_WAITING + 0.01)
    assert due == [crew.waiting[0]]


def test_a_task_that_runs_alone_does_not_hold_up_the_other_executors():
    crew = crew_of(1, 1)
    give(crew, 1, alone=True)
    assign(crew, policy.Pace())
    assert policy.room(crew, policy.Pace(), 0.0) == 1


def test_nobody_gets_more_than_is_left_of_its_share():
    crew = crew_of(1, 1)
    for slot in crew.slots.values():
        slot.share = 2
    give(crew, 10)
    assert [slot for _, slot in assign(crew, paced(0.001))] == [0, 1, 0, 1]
    assert policy.room(crew, paced(0.001), 0.0) == 0


def test_an_executor_in_its_last_task_does_not_hold_up_the_others():
    crew = crew_of(1, 1)
    give(crew, 1)
    assign(crew, policy.Pace())
    crew.slots[0].phase = Phase.LEAVING
    assert policy.room(crew, policy.Pace(), 0.0) == 1


def test_executors_and_their_successors_run_no_more_at_once_than_the_worker_should():
    crew = crew_of(4, 4)
    give(crew, 3)
    crew.slots[1].phase = Phase.LEAVING
    crew.slots[1].take(crew.waiting.popleft(), 0.0)
    assert policy.room(crew, policy.Pace(), 0.0) == 1  # one there, two wait
