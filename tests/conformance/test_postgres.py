"""The broker and the store on PostgreSQL keep the contract."""

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.postgres import PostgresBroker
from penstock.clock import Clock
from penstock.results.base import ResultStore
from penstock.results.postgres import PostgresStore
from penstock.testing.conformance import BrokerContract, ResultStoreContract
from penstock.url import Url


class OnAServer:
    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        self.url = Url.parse(postgres_url)

    def make_broker(self, clock: Clock) -> Broker:
        return PostgresBroker.from_url(self.url, clock=clock)

    def make_store(self, clock: Clock) -> ResultStore:
        return PostgresStore.from_url(self.url, clock=clock)


class TestPostgresBroker(OnAServer, BrokerContract):
    pass


class TestPostgresStore(OnAServer, ResultStoreContract):
    pass
