"""A seed is one history: here, again, in another process, with other hashes of strings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from penstock.testing.simulation import MemorySite, SqliteSite, simulate

SEEDS = (3, 11, 20)
PRINT = """
from penstock.testing.simulation import MemorySite, simulate
for seed in {seeds}:
    print(simulate(MemorySite, seed).history.digest())
"""


@pytest.mark.parametrize("make_site", [MemorySite, SqliteSite])
def test_the_same_seed_gives_the_same_history(make_site):
    first, second = (simulate(make_site, 11).history.digest() for _ in range(2))
    assert first == second


def test_so_it_does_on_a_server(redis_site):
    # The first run teaches the server its scripts: one it does not know yet goes after the others.
    _, first, second = (simulate(redis_site, 11).history.digest() for _ in range(3))
    assert first == second


def test_another_seed_gives_another_history():
    assert len({simulate(MemorySite, seed).history.digest() for seed in range(20)}) == 20


@pytest.mark.parametrize("hashes", ["0", "4711"])
def test_another_process_gives_the_same_history(hashes):
    done = subprocess.run(
        [sys.executable, "-c", PRINT.format(seeds=SEEDS)],
        env=os.environ | {"PYTHONHASHSEED": hashes},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [simulate(MemorySite, seed).history.digest() for seed in SEEDS]
