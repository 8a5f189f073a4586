"""The memory broker and store keep the contract."""

from penstock.brokers.base import Broker
from penstock.brokers.memory import MemoryBroker
from penstock.clock import Clock
from penstock.engines.memory import MemoryEngine
from penstock.results.base import ResultStore
from penstock.results.memory import MemoryStore
from penstock.testing.conformance import BrokerContract, ResultStoreContract


class TestMemoryBroker(BrokerContract):
    def setup_method(self) -> None:
        self.engine = MemoryEngine()

    def make_broker(self, clock: Clock) -> Broker:
        return MemoryBroker(engine=self.engine, clock=clock)

    def make_store(self, clock: Clock) -> ResultStore:
        return MemoryStore(engine=self.engine, clock=clock)


class TestMemoryStore(ResultStoreContract):
    def setup_method(self) -> None:
        self.engine = MemoryEngine()

    def make_store(self, clock: Clock) -> ResultStore:
        return MemoryStore(engine=self.engine, clock=clock)
