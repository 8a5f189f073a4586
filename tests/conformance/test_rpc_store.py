"""What of the contract applies to results by messages: waiting for them. Nothing is kept there."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.clock import Clock
from penstock.engines.amqp import AmqpServer
from penstock.message import Record
from penstock.plan import Plan
from penstock.results.base import ResultStore
from penstock.results.rpc import RpcStore
from penstock.testing.conformance.results_waiting import WaitingForResultsCases
from penstock.url import Url


class ToAll(RpcStore):
    """Sends a result to each client of a case, as if each had sent the task."""

    clients: list["ToAll"]

    def _put(self, records: Sequence[Record]) -> Plan[Any]:
        others = [client.reply_address() for client in self.clients if client is not self]
        letters = [replace(one, reply_to=address) for one in records for address in others]
        return (yield from super()._put([*records, *letters]))


class TestRpcStore(WaitingForResultsCases):
    @pytest.fixture(autouse=True)
    def _server(self, rabbit_url: str) -> None:
        self.url = Url.parse(rabbit_url)
        self._clients: list[ToAll] = []

    def record(self, id: str, state: str = "SUCCESS", **fields: Any) -> Record:
        document = json.dumps({"task_id": id, "status": state}).encode()
        return super().record(id, state, **{"document": document} | fields)

    def make_store(self, clock: Clock) -> ResultStore:
        store = ToAll(engine=AmqpServer(self.url), clock=clock)
        store.clients = self._clients
        self._clients.append(store)
        store.reply_address()  # listens from now on
        return store
