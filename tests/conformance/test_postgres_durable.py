"""Durable queues keep their contract on PostgreSQL."""

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.postgres import PostgresBroker
from penstock.clock import Clock
from penstock.testing.conformance import DurableQueueContract
from penstock.url import Url


class TestOnPostgres(DurableQueueContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        self.at = postgres_url

    def url(self) -> str:
        return self.at

    def make_broker(self, clock: Clock) -> Broker:
        return PostgresBroker.from_url(Url.parse(self.at), clock=clock)
