"""Deterministic simulation of planned brokers: many callers, one seed, faults at every yield.

::

    from penstock.testing.simulation import MemorySite, simulate

    report = simulate(MemorySite, seed=7)
    assert report.failure is None, report.explain()

See ``docs/simulation.md``; ``python -m penstock.testing.simulation --help`` runs many seeds.
"""

from __future__ import annotations

from penstock.testing.simulation.report import Report
from penstock.testing.simulation.run import simulate
from penstock.testing.simulation.site import MemorySite, RedisSite, Site, SqliteSite
from penstock.testing.simulation.violation import Violation

__all__ = ["MemorySite", "RedisSite", "Report", "Site", "SqliteSite", "Violation", "simulate"]
