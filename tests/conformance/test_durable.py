"""Durable queues keep their contract on every broker."""

from pathlib import Path

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.memory import MemoryBroker
from penstock.brokers.sqlite import SqliteBroker
from penstock.clock import Clock
from penstock.engines.memory import MemoryEngine
from penstock.engines.sqlite import SqliteFile
from penstock.testing.conformance import DurableQueueContract


class TestInMemory(DurableQueueContract):
    def setup_method(self) -> None:
        self.engine = MemoryEngine()

    def make_broker(self, clock: Clock) -> Broker:
        return MemoryBroker(engine=self.engine, clock=clock)


class TestOnAFile(DurableQueueContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = f"sqlite:///{tmp_path}/contract.db"

    def url(self) -> str:
        return self.path

    def make_broker(self, clock: Clock) -> Broker:
        return SqliteBroker(engine=SqliteFile.at(self.path), clock=clock)
