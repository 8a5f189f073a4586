"""The broker on ZooKeeper keeps the contract."""

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.zookeeper import ZooKeeperBroker
from penstock.clock import Clock
from penstock.testing.conformance import BrokerContract
from penstock.url import Url


class TestZooKeeperBroker(BrokerContract):
    @pytest.fixture(autouse=True)
    def _server(self, zookeeper_url: str) -> None:
        self.url = Url.parse(zookeeper_url)

    def make_broker(self, clock: Clock) -> Broker:
        return ZooKeeperBroker.from_url(self.url, clock=clock)
