"""Every promise holds on many seeds; a failing one says how to replay it."""

from __future__ import annotations

import os

import pytest

from penstock.testing.simulation import MemorySite, SqliteSite, simulate

CHUNK = 20
MEMORY = int(os.environ.get("PENSTOCK_SEEDS", "300"))
SQLITE = REDIS = max(40, MEMORY // 10)


def chunks(count):
    return [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def name(seeds):
    return f"{seeds.start}-{seeds.stop - 1}"


def check(make_site, broker, seeds):
    for seed in seeds:
        report = simulate(make_site, seed)
        command = f"python -m penstock.testing.simulation --broker {broker} --seed {seed}"
        assert report.failure is None, f"{report.explain()}\nreplay it: {command}"


@pytest.mark.parametrize("seeds", chunks(MEMORY), ids=name)
def test_memory(seeds):
    check(MemorySite, "memory", seeds)


@pytest.mark.parametrize("seeds", chunks(SQLITE), ids=name)
def test_sqlite(seeds):
    check(SqliteSite, "sqlite", seeds)


@pytest.mark.parametrize("seeds", chunks(REDIS), ids=name)
def test_redis(seeds, redis_site):
    check(redis_site, "redis --url URL", seeds)
