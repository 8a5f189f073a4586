"""A process dies at each named point. Here a part of them; CRASH_POINTS=all: every one."""

import os

import pytest

from crash_scene import Scene, points_of

ALL = os.environ.get("CRASH_POINTS") == "all"
# One in so many.
SHARES = {"sqlite": 10, "redis": 12, "postgres": 20, "rabbitmq": 40, "zookeeper": 40}


def cases():
    """Each broker begins at another one, so that together they see as many as can be."""
    for place, (broker, part) in enumerate(SHARES.items()):
        share = 1 if ALL else part
        for point in points_of(broker)[3 * place % share :: share]:
            yield broker, point


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("broker", "point"), list(cases()))
def test_nothing_is_lost_there(broker, point, tmp_path):
    report = Scene(tmp_path, broker, point).run()
    assert report.clean, "\n".join(report.lines())
    assert report.faults["crash"] == 1
