"""From a URL to a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.schemes import backend_class
from penstock.url import Url

if TYPE_CHECKING:
    from penstock.brokers.base import Broker

__all__ = ["SCHEMES", "open_broker"]

# scheme -> "module:class"; the class has `from_url(url, clock=...)`.
SCHEMES = {
    "memory": "penstock.brokers.memory:MemoryBroker",
    "sqlite": "penstock.brokers.sqlite:SqliteBroker",
    **dict.fromkeys(("postgresql", "postgres"), "penstock.brokers.postgres:PostgresBroker"),
    **dict.fromkeys(
        (
            "redis",
            "rediss",
            "unix",
            "redis+socket",
            "redis+sentinel",
            "rediss+sentinel",
            "sentinel",
        ),
        "penstock.brokers.redis:RedisBroker",
    ),
    **dict.fromkeys(("amqp", "amqps", "pyamqp"), "penstock.brokers.amqp:AmqpBroker"),
    "zookeeper": "penstock.brokers.zookeeper:ZooKeeperBroker",
}


def open_broker(url: str | Url, *, clock: Clock = SYSTEM_CLOCK) -> Broker:
    """The broker at that URL; raises ConfigError for an unknown scheme. Connects on first use."""
    address = Url.parse(url)
    broker: Broker = backend_class(address, SCHEMES, what="broker").from_url(address, clock=clock)
    return broker
