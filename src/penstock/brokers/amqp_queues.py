"""Queues on a RabbitMQ server: what exists is taken as it is, what is missing is declared.

Ours, which a Celery process never looks at:

- ``penstock.back.<queue>``: what comes back to the head of a queue. Claims look there first.
- ``penstock.wait.<ms>``: what is delayed; see :mod:`penstock.brokers.amqp_delays`.
- ``penstock.held.<name>``: what one worker holds longer than the server lets it; see
  :mod:`penstock.brokers.amqp_long`.
- ``penstock.dead``: dead letters.
- ``penstock.boot``: the name of the server's present life; see :mod:`penstock.brokers.amqp_boot`.
- ``penstock.queues``: the names of queues that penstock has made or listened to, for nobody can
  list queues by the protocol.

Where messages move by themselves (wait, held) the queue is a quorum queue: only they let go of a
message when its next queue has confirmed it.
"""

from __future__ import annotations

import time
from typing import Any

from penstock.brokers.amqp_wire import HELD
from penstock.engines.amqp_live import Live
from penstock.errors import ConfigError

__all__ = [
    "DEAD_QUEUE",
    "HELD_EXCHANGE",
    "NAMES_QUEUE",
    "RIPE",
    "Queues",
    "back_of",
]

DEAD_QUEUE = "penstock.dead"
NAMES_QUEUE = "penstock.queues"
HELD_EXCHANGE = "penstock.held"
_NAMES = 10_000  # that are kept
_LONGEST_NAME = 255  # bytes; our own names before a queue's take 14
RIPE = 3.5  # seconds after which a new quorum queue outlives the death of its server


def back_of(queue: str) -> str:
    """The queue of ours for what comes back to the head of this one."""
    return f"penstock.back.{queue}"


class Queues:
    """What this connection knows to exist; kept by its :class:`Live`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._there: set[str] = set()
        self._new: set[str] = set()  # made here, and not yet noted
        self._ripe_at: dict[str, float] = {}  # monotonic

    def ensure(self, queue: str) -> None:
        """Have a durable queue of that name; one that exists may have any arguments."""
        if queue in self._there:
            return
        if not 1 <= len(queue.encode("utf-8", "replace")) <= _LONGEST_NAME:
            raise ConfigError(f"a queue's name on RabbitMQ has 1 to 240 bytes, not {queue!r}")
        if self.count(queue) is None:
            self._declare(queue, self._arguments(queue))
            self._new.add(queue)
        self._there.add(queue)

    def is_there(self, queue: str) -> bool:
        """True when nothing has to be asked or said of it."""
        return queue in self._there and queue not in self._new

    def _arguments(self, queue: str) -> dict[str, Any]:
        """As the settings want it. What comes back to a queue is kept as safely as in it."""
        origin = queue.removeprefix(back_of(""))
        arguments = dict(self._live.arguments_of(origin))
        if origin == queue and not origin.startswith("penstock."):
            return arguments
        return {k: v for k, v in arguments.items() if k == "x-queue-type"}

    def register(self, *queues: str) -> None:
        """Note the names of queues, and of those made here; only where publishing is right."""
        import amqp

        names = {name for name in self._new.union(queues) if not name.startswith("penstock.")}
        if names:
            limits = {"x-max-length": _NAMES, "x-overflow": "drop-head"}
            try:
                self._channel.queue_declare(
                    NAMES_QUEUE, durable=True, auto_delete=False, arguments=limits
                )
            except amqp.NotFound:  # its node of a cluster is away: later
                return
        self._new.clear()
        for name in names:
            self._channel.basic_publish(
                amqp.Message(name, delivery_mode=2), routing_key=NAMES_QUEUE
            )

    def names(self) -> set[str]:
        """Those of users."""
        return {name for name in self._there if not name.startswith("penstock.")}

    def forget(self, queue: str) -> None:
        """It was deleted."""
        self._there.discard(queue)

    def count(self, queue: str) -> int | None:
        """How many messages are ready in it; None where it does not exist."""
        import amqp

        try:
            reply = self._channel.queue_declare(queue, passive=True)
        except amqp.NotFound:
            return None
        except amqp.ChannelError as error:
            raise self._live.refused(error) from error
        return int(reply.message_count)

    def _declare(self, queue: str, arguments: dict[str, Any]) -> None:
        import amqp

        try:
            self._channel.queue_declare(
                queue, durable=True, auto_delete=False, arguments=arguments or None
            )
        except amqp.ChannelError as error:
            raise self._live.refused(error) from error

    @property
    def _channel(self) -> Any:
        return self._live.channel("declare")

    def ensure_held(self, holder: str, ms: int, expires: int) -> str:
        """Have the queue of what ``holder`` holds long; gives its name, or none until it is ripe.

        It is deleted when nothing was taken from it for ``expires`` ms.
        """
        name = f"{HELD_EXCHANGE}.{holder}"
        if name not in self._ripe_at:
            self.declare_leading_on(name, ms, expires=expires)
            self._bind_held(name, holder)
            self._ripe_at[name] = time.monotonic() + RIPE
        return name if self._ripe_at[name] <= time.monotonic() else ""

    def _bind_held(self, name: str, holder: str) -> None:
        match = {"x-match": "all", HELD: holder}
        self._channel.exchange_declare(HELD_EXCHANGE, "headers", durable=True, auto_delete=False)
        self._channel.queue_bind(name, HELD_EXCHANGE, arguments=match)

    def declare_leading_on(self, name: str, ms: int, *, expires: int = 0) -> None:
        """A queue whose messages go, after ``ms``, to the queue that their routing key names."""
        arguments = {
            "x-queue-type": "quorum",
            "x-message-ttl": ms,
            "x-dead-letter-exchange": "",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        if expires:
            arguments["x-expires"] = expires
        self._declare(name, arguments)
