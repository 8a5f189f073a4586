"""Durable queues on RabbitMQ keep the contract."""

import pytest

from penstock.brokers.amqp import AmqpBroker
from penstock.brokers.base import Broker
from penstock.clock import Clock
from penstock.testing.conformance import DurableQueueContract
from penstock.url import Url


class TestOnRabbit(DurableQueueContract):
    tick = 0.03
    keeps_own_time = True  # delays are the server's

    @pytest.fixture(autouse=True)
    def _server(self, rabbit_url: str) -> None:
        self.at = rabbit_url
        self.made: list[AmqpBroker] = []

    def url(self) -> str:
        return self.at

    def make_broker(self, clock: Clock) -> Broker:
        self.made.append(AmqpBroker.from_url(Url.parse(self.at), clock=clock))
        return self.made[-1]

    def pass_time(self, seconds: float) -> None:
        """A lease ends by its holder's upkeep, which a living holder does all the while."""
        super().pass_time(seconds)
        for broker in self.made:
            broker.tend()
