"""A slow disk gets fewer orders, and the demo finds out by itself."""

import pytest

from penstock.demo.disk import commits_per_second
from penstock.demo.play import affordable


@pytest.mark.parametrize(
    ("rate", "orders"), [(50_000, 2000), (1000, 2000), (500, 1000), (100, 200), (1, 100)]
)
def test_orders_by_rate(rate, orders):
    assert affordable(rate) == orders


def test_the_probe_leaves_nothing_behind(tmp_path):
    assert commits_per_second(tmp_path, seconds=0.01) > 0
    assert list(tmp_path.iterdir()) == []
