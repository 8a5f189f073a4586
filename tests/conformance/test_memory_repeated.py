"""The contract holds when each exchange happens twice: a lost reply may be asked for again."""

from typing import Any

from penstock.brokers.base import Broker
from penstock.brokers.memory import MemoryBroker
from penstock.clock import Clock
from penstock.engines.memory import MemoryEngine
from penstock.plan import Command, Exchange
from penstock.results.base import ResultStore
from penstock.results.memory import MemoryStore
from penstock.testing.conformance import BrokerContract, ResultStoreContract

COUNTING = {"purge", "remove", "drop"}  # they tell how many are gone: the second time none


class EveryExchangeTwice:
    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine

    def _once_before(self, command: Command) -> None:
        if isinstance(command, Exchange) and command.name not in COUNTING:
            self._engine.execute(command)

    def execute(self, command: Command) -> Any:
        self._once_before(command)
        return self._engine.execute(command)

    async def aexecute(self, command: Command) -> Any:
        self._once_before(command)
        return await self._engine.aexecute(command)


class TestMemoryBrokerRepeated(BrokerContract):
    def setup_method(self) -> None:
        self.engine = EveryExchangeTwice(MemoryEngine())

    def make_broker(self, clock: Clock) -> Broker:
        return MemoryBroker(engine=self.engine, clock=clock)

    def make_store(self, clock: Clock) -> ResultStore:
        return MemoryStore(engine=self.engine, clock=clock)


class TestMemoryStoreRepeated(ResultStoreContract):
    def setup_method(self) -> None:
        self.engine = EveryExchangeTwice(MemoryEngine())

    def make_store(self, clock: Clock) -> ResultStore:
        return MemoryStore(engine=self.engine, clock=clock)
