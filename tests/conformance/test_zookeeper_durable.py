"""Durable queues keep their contract on ZooKeeper."""

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.zookeeper import ZooKeeperBroker
from penstock.clock import Clock
from penstock.testing.conformance import DurableQueueContract
from penstock.url import Url


class TestOnZooKeeper(DurableQueueContract):
    @pytest.fixture(autouse=True)
    def _server(self, zookeeper_url: str) -> None:
        self.at = zookeeper_url

    def url(self) -> str:
        return self.at

    def make_broker(self, clock: Clock) -> Broker:
        return ZooKeeperBroker.from_url(Url.parse(self.at), clock=clock)
