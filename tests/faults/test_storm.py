"""A slice of the storm: `make faults` has the whole of it, `make faults-long` days of it."""

import os

import pytest

from penstock.testing.history import Rules
from storm import Plan, Storm
from storm_sites import SITES

FAULTS = {"executor": 20, "worker": 3, "zygote": 2, "client": 1, "term": 1, "stop": 1}
LINES = {"redis": {"server": 2, "cut": 8}, "postgres": {"server": 2, "cut": 8}}
# On the others they are in `make faults`.
TASKS = {"zookeeper": 300}  # it is for low rates
FULL = os.environ.get("FAULTS") == "full"
BROKERS = [name for name in SITES if FULL or name != "zookeeper"]  # half a minute for so few


@pytest.mark.timeout(180)
@pytest.mark.parametrize("broker", BROKERS)
def test_every_promise_is_kept_under_faults(broker, tmp_path):
    faults, tasks = FAULTS | LINES.get(broker, {}), TASKS.get(broker, 1_200)
    rules = Rules(executor_rerun_p99=1.0, worker_rerun_p99=3.0, server_back_p99=3.0)
    report = Storm(tmp_path, Plan(broker, tasks, faults, seed=7, rules=rules)).run()
    assert report.clean, "\n".join(report.lines())
    for kind in ("executor", "worker", *LINES.get(broker, {})):
        assert report.faults[kind] == faults[kind]
    assert report.counts["acknowledged"] > tasks / 2
