"""Celery's delays in RabbitMQ, for its clients: penstock's own do without.

A Celery client that knows of quorum queues sends what is delayed to the exchange
``celery_delayed_27``, under a key that begins with the seconds in binary. 28 queues with a time to
live of 1, 2, 4 … seconds, and a topic exchange before each, add up to any delay; the last exchange
is ``celery_delayed_delivery``. Celery's workers make all that. Where they have not, a worker of
penstock does, and binds its queues, so that such a client may do without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.engines.amqp_live import Live

__all__ = ["bind_to_delays"]

_LEVELS = 28
_DELIVERY = "celery_delayed_delivery"


def bind_to_delays(live: Live, queues: Sequence[str]) -> None:
    """Have what was delayed for these queues come to them; raises ConfigError and the like."""
    import amqp

    channel = live.channel("declare")
    try:
        try:  # it is made last, so the others are there as well, of whatever kind
            channel.exchange_declare(_DELIVERY, "topic", passive=True)
        except amqp.NotFound:
            channel = live.channel("declare")
            _make(channel)
        for queue in queues:
            channel.queue_bind(queue, _DELIVERY, routing_key=f"#.{queue}")
    except amqp.ChannelError as error:
        raise live.refused(error) from error


def _make(channel: Any) -> None:
    for level in reversed(range(_LEVELS)):
        name, passed = _level(level), "*." * (_LEVELS - 1 - level)
        _declare_exchange(channel, name)
        channel.queue_declare(
            name, durable=True, auto_delete=False, arguments=_leading_to(level, _next(level))
        )
        channel.queue_bind(name, name, routing_key=f"{passed}1.#")
    _declare_exchange(channel, _DELIVERY)
    for level in reversed(range(_LEVELS)):
        passed = "*." * (_LEVELS - 1 - level)
        channel.exchange_bind(_next(level), _level(level), routing_key=f"{passed}0.#")


def _level(number: int) -> str:
    return f"celery_delayed_{number}"


def _next(level: int) -> str:
    return _level(level - 1) if level else _DELIVERY


def _declare_exchange(channel: Any, name: str) -> None:
    channel.exchange_declare(name, "topic", durable=True, auto_delete=False)


def _leading_to(level: int, exchange: str) -> dict[str, Any]:
    """The arguments that Celery's workers declare such a queue with: they must be the same."""
    return {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-message-ttl": 2**level * 1000,
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-strategy": "at-least-once",
    }
