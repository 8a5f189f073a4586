"""Somebody else's broker: without a result store, without looking and revoking."""

from __future__ import annotations

import pytest

from penstock.brokers.base import Capabilities
from penstock.brokers.memory import MemoryBroker
from penstock.engines.memory import MemoryEngine
from penstock.engines.memory_holdings import Holdings
from penstock.testing.simulation import Site, simulate


class PlainBroker(MemoryBroker):
    capabilities = Capabilities(inspects=False, revokes=False)

    def depth(self, queue):
        raise NotImplementedError

    queues = dead = replay = drop = revoke = depth


class PlainSite(Site):
    def __init__(self, clock):
        super().__init__(clock)
        self.engine = MemoryEngine()

    def broker(self):
        return PlainBroker(engine=self.engine, clock=self.clock)


def test_it_is_simulated_as_far_as_it_goes():
    reports = [simulate(PlainSite, seed) for seed in range(25)]
    assert not [report.explain() for report in reports if report.failure]
    assert sum(report.leased for report in reports) > 500


def test_its_bugs_are_found(monkeypatch):
    monkeypatch.setattr(Holdings, "_held", lambda self, lease: self._leased.get(lease.message.key))
    assert any(simulate(PlainSite, seed).failure for seed in range(25))


def test_a_site_must_say_how_its_broker_is_made():
    with pytest.raises(NotImplementedError, match="broker"):
        simulate(Site, 1)
