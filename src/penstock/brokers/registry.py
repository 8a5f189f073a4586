"""From a URL to a broker: the one place that imports backends by name."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import ConfigError
from penstock.url import Url

if TYPE_CHECKING:
    from penstock.brokers.base import Broker

__all__ = ["SCHEMES", "open_broker"]

# scheme -> "module:class"; the class has `from_url(url, clock=...)`.
SCHEMES = {
    "memory": "penstock.brokers.memory:MemoryBroker",
    "sqlite": "penstock.brokers.sqlite:SqliteBroker",
}


def open_broker(url: str | Url, *, clock: Clock = SYSTEM_CLOCK) -> Broker:
    """The broker at that URL; raises ConfigError for an unknown scheme. Connects on first use."""
    address = Url.parse(url)
    try:
        module, _, name = SCHEMES[address.scheme].partition(":")
    except KeyError:
        near = difflib.get_close_matches(address.scheme, SCHEMES, n=1)
        hint = f"; did you mean {near[0]}://?" if near else ""
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ConfigError(
            f"no broker for {address.scheme}:// URLs{hint} (there are {known})"
        ) from None
    broker: Broker = getattr(import_module(module), name).from_url(address, clock=clock)
    return broker
