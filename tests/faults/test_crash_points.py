"""A process dies at each named point. Here a part of them; CRASH_POINTS=all: every one."""

import os

import pytest

from crash_scene import Scene, points_of
from storm_sites import SITES

SHARE = 1 if os.environ.get("CRASH_POINTS") == "all" else 6


def cases():
    """Each broker begins at another one, so that together they see as many as can be."""
    for place, broker in enumerate(SITES):
        for point in points_of(broker)[place % SHARE :: SHARE]:
            yield broker, point


@pytest.mark.parametrize(("broker", "point"), list(cases()))
def test_nothing_is_lost_there(broker, point, tmp_path):
    report = Scene(tmp_path, broker, point).run()
    assert report.clean, "\n".join(report.lines())
    assert report.faults["crash"] == 1
