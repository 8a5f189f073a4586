"""Durable queues keep their contract on Redis."""

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.redis import RedisBroker
from penstock.clock import Clock
from penstock.testing.conformance import DurableQueueContract
from penstock.url import Url


class TestOnRedis(DurableQueueContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.at = redis_url

    def url(self) -> str:
        return self.at

    def make_broker(self, clock: Clock) -> Broker:
        return RedisBroker.from_url(Url.parse(self.at), clock=clock)
