"""A slice of the kill storm: `python tests/support/storm.py` runs the whole of it."""

import pytest

from storm import Storm, percentile


@pytest.fixture(params=["sqlite", "redis"])
def _broker(request, monkeypatch):
    if request.param == "redis":
        monkeypatch.setenv("STORM_URL", request.getfixturevalue("redis_url"))


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("_broker")
def test_nothing_is_lost_nor_run_after_it_was_settled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verdict = Storm(tmp_path, executors=30, workers=4, tasks=1_500, seed=7).run()
    assert verdict.clean(), (verdict, list(verdict.lines()))
    assert verdict.executors_killed == 30
    assert verdict.workers_killed == 4
    assert percentile(verdict.worker_reruns or [0], 99) < 2.0
