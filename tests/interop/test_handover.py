"""Messages that wait for their time change sides with the workers."""

import time

import pytest

from interop.fleet import Fleet
from workers import wait_for

AHEAD = 4.0  # seconds: longer than a worker takes to stop and another to start


@pytest.fixture
def fleet(interop_server, tmp_path):
    with Fleet(interop_server, tmp_path) as fleet:
        yield fleet


def taken(fleet, kind):
    """A worker of that kind that took a message whose time is ahead; and the message's id."""
    worker = fleet.worker(kind)
    task_id = fleet.client("celery")("send", "moment", countdown=AHEAD)
    wait_for(lambda: fleet.broker.llen("celery") == 0, what="a worker that takes it")
    return worker, task_id


@pytest.mark.parametrize(("one", "other"), [("celery", "penstock"), ("penstock", "celery")])
def test_what_one_side_held_for_later_the_other_runs_in_time(fleet, one, other):
    due = time.time() + AHEAD
    worker, task_id = taken(fleet, one)
    worker.stop()
    assert fleet.broker.llen("celery") == 1  # where either side looks
    fleet.worker(other)
    state, started, _ = fleet.client("celery")("outcome", task_id)
    assert (state, started >= due - 0.1) == ("SUCCESS", True)
    fleet.await_drained()
