"""A mixed fleet under load while one side of it is killed."""

import pytest

from interop.fleet import Fleet
from interop.mixed_storm import OWN_SETTINGS, MixedStorm
from servers import RedisServer
from workers import wait_for


@pytest.fixture
def fleet(tmp_path):
    with (
        RedisServer(appendonly=True) as server,
        Fleet(server, tmp_path, own_settings=OWN_SETTINGS) as fleet,
    ):
        yield fleet


def test_nothing_is_lost_while_penstocks_side_is_killed(fleet):
    storm = MixedStorm(fleet, victims="penstock", kills=6, tasks=1500, seed=4)
    verdict = storm.run()
    assert verdict.kills == 6
    assert set(verdict.runs) == {"celery", "penstock"}
    assert (verdict.lost, verdict.wrong, verdict.unexplained) == ([], [], [])


def test_celerys_side_loses_at_most_what_each_kill_met_between_pop_and_record(fleet):
    """Its own window: penstock cannot close it, and adds nothing to it."""
    storm = MixedStorm(fleet, victims="celery", kills=3, tasks=1500, seed=4)
    verdict = storm.run()
    assert verdict.kills == 3
    assert (verdict.wrong, verdict.begun) == ([], [])
    assert len(verdict.lost) <= verdict.kills, verdict.lost


def test_celerys_window_between_pop_and_record(fleet):
    """A Celery worker that is killed in it takes a message with it: it is nowhere any more."""
    worker = fleet.worker("celery", ready=False, extra={"INTEROP_DIE_BEFORE_RECORD": "1"})
    task_id = fleet.client("celery")("send", "add", (1, 1))
    wait_for(lambda: not worker.running, what="the kill")
    assert fleet.waiting() == 0
    assert fleet.record(task_id) is None
