"""The broker and store on PostgreSQL keep the contract when each exchange happens twice."""

from typing import Any

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.postgres import PostgresBroker
from penstock.clock import Clock
from penstock.engines.postgres import PostgresServer
from penstock.engines.postgres_errors import AlreadyThere
from penstock.plan import Command, Exchange
from penstock.results.base import ResultStore
from penstock.results.postgres import PostgresStore
from penstock.testing.conformance import BrokerContract, ResultStoreContract
from penstock.url import Url


class EveryExchangeTwice(PostgresServer):
    """Awaiting callers' exchanges, too: a thread executes them."""

    def execute(self, command: Command) -> Any:
        if isinstance(command, Exchange):
            super().execute(command)
        return super().execute(command)


class OnAServer:
    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        self.url = Url.parse(postgres_url)

    def make_broker(self, clock: Clock) -> Broker:
        return PostgresBroker(engine=EveryExchangeTwice.at(self.url), clock=clock)

    def make_store(self, clock: Clock) -> ResultStore:
        return PostgresStore(engine=EveryExchangeTwice.at(self.url), clock=clock)


class TestPostgresBrokerRepeated(OnAServer, BrokerContract):
    pass


class TestPostgresStoreRepeated(OnAServer, ResultStoreContract):
    pass


def test_what_is_copied_twice_is_told_apart(postgres_url):
    engine = EveryExchangeTwice.at(postgres_url)
    with pytest.raises(AlreadyThere):
        engine.execute(Exchange("copy", _one_row))
    engine.close()


def _one_row(batch: Any) -> None:
    from penstock.brokers.postgres_statements import SQL, copy_rows
    from penstock.message import Message

    message = Message("it", "orders", {}, b"", key="same")
    batch.rows(SQL.copy, lambda: copy_rows([message], 0.0))
