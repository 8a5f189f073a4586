"""The store on Redis keeps the contract."""

import pytest

from penstock.clock import Clock
from penstock.results.base import ResultStore
from penstock.results.redis import RedisStore
from penstock.testing.conformance import ResultStoreContract
from penstock.url import Url


class TestRedisStore(ResultStoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = Url.parse(redis_url)

    def make_store(self, clock: Clock) -> ResultStore:
        return RedisStore.from_url(self.url, clock=clock)
