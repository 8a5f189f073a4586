"""The SQLite broker and store keep the contract when each exchange happens twice."""

from pathlib import Path
from typing import Any

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.sqlite import SqliteBroker
from penstock.clock import Clock
from penstock.engines.sqlite import SqliteFile
from penstock.plan import Command, Exchange
from penstock.results.base import ResultStore
from penstock.results.sqlite import SqliteStore
from penstock.testing.conformance import BrokerContract, ResultStoreContract
from penstock.url import Url


class EveryExchangeTwice(SqliteFile):
    def execute(self, command: Command) -> Any:
        if isinstance(command, Exchange):
            super().execute(command)
        return super().execute(command)

    async def aexecute(self, command: Command) -> Any:
        if isinstance(command, Exchange):
            await super().aexecute(command)
        return await super().aexecute(command)


class OnAFile:
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = Url.parse(f"sqlite:///{tmp_path}/contract.db")

    def make_broker(self, clock: Clock) -> Broker:
        return SqliteBroker(engine=EveryExchangeTwice.at(self.url), clock=clock)

    def make_store(self, clock: Clock) -> ResultStore:
        return SqliteStore(engine=EveryExchangeTwice.at(self.url), clock=clock)


class TestSqliteBrokerRepeated(OnAFile, BrokerContract):
    pass


class TestSqliteStoreRepeated(OnAFile, ResultStoreContract):
    pass
