"""The broker on RabbitMQ keeps the contract."""

import pytest

from penstock.brokers.amqp import AmqpBroker
from penstock.brokers.base import Broker
from penstock.clock import Clock
from penstock.testing.conformance import BrokerContract
from penstock.url import Url


class TestAmqpBroker(BrokerContract):
    tick = 0.15  # what is due the server hands over by itself, in a moment
    keeps_own_time = True  # delays are the server's

    @pytest.fixture(autouse=True)
    def _server(self, rabbit_url: str) -> None:
        self.url = Url.parse(rabbit_url)

    def make_broker(self, clock: Clock) -> Broker:
        return AmqpBroker.from_url(self.url, clock=clock)

    def pass_time(self, seconds: float) -> None:
        """A lease ends by its holder's upkeep, which a living holder does all the while."""
        super().pass_time(seconds)
        for broker in self._opened:
            broker.tend()
