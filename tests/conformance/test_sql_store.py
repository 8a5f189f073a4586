"""The store in a database keeps the contract."""

from pathlib import Path

import pytest

from penstock.clock import Clock
from penstock.results.base import ResultStore
from penstock.results.sql import SqlStore
from penstock.testing.conformance import ResultStoreContract
from penstock.url import Url
from postgres_server import PostgresServer


class InADatabase(ResultStoreContract):
    url: Url

    def make_store(self, clock: Clock) -> ResultStore:
        return SqlStore.from_url(self.url, clock=clock)


class TestOnSqlite(InADatabase):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = Url.parse(f"db+sqlite:///{tmp_path}/results.db")


class TestOnMariadb(InADatabase):
    @pytest.fixture(autouse=True)
    def _server(self, mariadb_url: str) -> None:
        self.url = Url.parse(mariadb_url)


class TestOnPostgres(InADatabase):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_server: PostgresServer) -> None:
        postgres_server.ensure()
        self.url = Url.parse(f"db+{postgres_server.url()}")
