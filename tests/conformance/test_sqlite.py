"""The broker and the store on a SQLite file keep the contract."""

from pathlib import Path

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.sqlite import SqliteBroker
from penstock.clock import Clock
from penstock.engines.sqlite import SqliteFile
from penstock.results.base import ResultStore
from penstock.results.sqlite import SqliteStore
from penstock.testing.conformance import BrokerContract, ResultStoreContract


class OnAFile:
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/contract.db"

    def make_broker(self, clock: Clock) -> Broker:
        return SqliteBroker(engine=SqliteFile.at(self.url), clock=clock)

    def make_store(self, clock: Clock) -> ResultStore:
        return SqliteStore(engine=SqliteFile.at(self.url), clock=clock)


class TestSqliteBroker(OnAFile, BrokerContract):
    pass


class TestSqliteStore(OnAFile, ResultStoreContract):
    pass
