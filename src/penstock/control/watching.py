"""Hearing the events that workers tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from penstock.errors import ConfigError, DecodeError
from penstock.wire.events import read_events

if TYPE_CHECKING:
    from penstock.brokers.base import Broker

__all__ = ["events"]


def events(broker: Broker, *, timeout: float | None = None) -> Iterator[dict[str, Any]]:
    """The events from now on, as they come; ends after ``timeout`` seconds (None: never).

    Raises ConfigError on a broker that carries none.
    """
    if not (broker.capabilities.broadcasts and broker.talk.events):
        raise ConfigError("workers tell no events on this broker: they do on Redis and RabbitMQ")
    deadline = None if timeout is None else time.monotonic() + timeout
    with closing(broker.talk.watch()) as ear:
        while deadline is None or time.monotonic() < deadline:
            if not ear.wait(None if deadline is None else deadline - time.monotonic()):
                return
            ear.clear()
            for note in ear.take():
                try:
                    yield from read_events(note)
                except DecodeError:  # not an event
                    continue
