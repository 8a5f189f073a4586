"""The broker on Redis keeps the contract."""

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.redis import RedisBroker
from penstock.clock import Clock
from penstock.results.base import ResultStore
from penstock.results.redis import RedisStore
from penstock.testing.conformance import BrokerContract
from penstock.url import Url


class TestRedisBroker(BrokerContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = Url.parse(redis_url)

    def make_broker(self, clock: Clock) -> Broker:
        return RedisBroker.from_url(self.url, clock=clock)

    def make_store(self, clock: Clock) -> ResultStore:
        return RedisStore.from_url(self.url, clock=clock)
