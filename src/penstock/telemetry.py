"""Named events of penstock's own life, free when nobody listens.

``emit("broker.publish", count=3)`` costs one truth test until somebody subscribed. Tests wait for
such events instead of sleeping; exporters (OpenTelemetry, Prometheus) subscribe to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Subscriber", "emit", "listening", "subscribe"]

Subscriber = Callable[[str, dict[str, Any]], None]
_subscribers: list[Subscriber] = []


def emit(name: str, **facts: Any) -> None:
    """Tell every subscriber; ``name`` is ``layer.event``, facts are plain values."""
    if _subscribers:
        for subscriber in tuple(_subscribers):
            subscriber(name, facts)


def listening() -> bool:
    """True when somebody subscribed: ask before computing costly facts."""
    return bool(_subscribers)


@contextmanager
def subscribe(subscriber: Subscriber) -> Iterator[None]:
    """Have ``subscriber(name, facts)`` called for each event within the ``with`` block."""
    _subscribers.append(subscriber)
    try:
        yield
    finally:
        _subscribers.remove(subscriber)
