"""The store on memcached keeps the contract."""

import pytest

from penstock.clock import Clock
from penstock.results.base import ResultStore
from penstock.results.memcached import MemcachedStore
from penstock.testing.conformance import ResultStoreContract
from penstock.url import Url


class TestMemcachedStore(ResultStoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, memcached_url: str) -> None:
        self.url = Url.parse(memcached_url)

    def make_store(self, clock: Clock) -> ResultStore:
        return MemcachedStore.from_url(self.url, clock=clock)
