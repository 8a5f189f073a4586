"""Queues on a RabbitMQ server: what exists is taken as it is, what is missing is declared.

Ours, which a Celery process never looks at:

- ``penstock.back.<queue>``: what comes back to the head of a queue. Claims look there first.
- ``penstock.delay.<ms>``: what is delayed. One queue for each length, for a time-to-live of a
  message's own waits for those before it; each leads to where its message was bound for.
- ``penstock.held.<name>``: what one worker holds longer than the server lets it; see
  :mod:`penstock.brokers.amqp_long`.
- ``penstock.dead``: dead letters.
- ``penstock.queues``: the names of queues that penstock has made or listened to, for nobody can
  list queues by the protocol.

Where messages move by themselves (delay, held) the queue is a quorum queue: only they let go of a
message when its next queue has confirmed it.
"""

from __future__ import annotations

import time
from typing import Any

from penstock.brokers.amqp_wire import DELAY, HELD
from penstock.engines.amqp_live import Live
from penstock.errors import ConfigError

__all__ = [
    "DEAD_QUEUE",
    "DELAY_EXCHANGE",
    "HELD_EXCHANGE",
    "NAMES_QUEUE",
    "Queues",
    "back_of",
    "rounded",
]

DEAD_QUEUE = "penstock.dead"
NAMES_QUEUE = "penstock.queues"
DELAY_EXCHANGE, HELD_EXCHANGE = "penstock.delay", "penstock.held"
_NAMES = 10_000  # that are kept
_FRESH = 30.0  # seconds for which a declaration of a queue that expires is not repeated
_LONGEST_NAME = 255  # bytes; our own names before a queue's take 14
_LONGEST = 4_000_000_000  # ms that the server takes as a time to live


def back_of(queue: str) -> str:
    """The queue of ours for what comes back to the head of this one."""
    return f"penstock.back.{queue}"


def rounded(seconds: float) -> int:
    """A length of delay in ms, never longer, of two digits: so there are few of them.

    What comes too early by what was cut off is delayed again by who gets it.
    """
    ms = max(1, min(int(seconds * 1000), _LONGEST))
    scale: int = 10 ** max(0, len(str(ms)) - 2)
    return ms // scale * scale


class Queues:
    """What this connection knows to exist; kept by its :class:`Live`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._there: set[str] = set()
        self._new: set[str] = set()  # made here, and not yet noted
        self._until: dict[str, float] = {}  # for those that expire

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

    def _arguments(self, queue: str) -> dict[str, Any]:
        """As the settings want it. What comes back to a queue is kept as safely as in it."""
        origin = queue.removeprefix(back_of(""))
        if origin.startswith("penstock."):
            return {}
        arguments = dict(self._live.arguments_of(origin))
        if origin == queue:
            return arguments
        return {k: v for k, v in arguments.items() if k == "x-queue-type"}

    def register(self, *queues: str) -> None:
        """Note the names of queues, and of those made here; only where publishing is right."""
        import amqp

        names = {name for name in self._new.union(queues) if not name.startswith("penstock.")}
        self._new.clear()
        if names:
            limits = {"x-max-length": _NAMES, "x-overflow": "drop-head"}
            self._channel.queue_declare(
                NAMES_QUEUE, durable=True, auto_delete=False, arguments=limits
            )
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
        self._until.pop(queue, None)

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

    def ensure_delay(self, ms: int) -> None:
        """Have the queue for delays of this length; it goes when it was long unused."""
        name = f"{DELAY_EXCHANGE}.{ms}"
        if self._until.get(name, 0.0) > time.monotonic():
            return
        self._ensure_leading_on(name, DELAY_EXCHANGE, {DELAY: ms}, ms)
        self._until[name] = time.monotonic() + _FRESH

    def ensure_held(self, holder: str, ms: int) -> str:
        """Have the queue of what ``holder`` holds long; gives its name."""
        name = f"{HELD_EXCHANGE}.{holder}"
        if name not in self._there:
            self._ensure_leading_on(name, HELD_EXCHANGE, {HELD: holder}, ms)
            self._there.add(name)
        return name

    def _ensure_leading_on(self, name: str, exchange: str, match: dict[str, Any], ms: int) -> None:
        """A queue whose messages go, after ``ms``, to the queue that their routing key names."""
        import amqp

        arguments = {
            "x-queue-type": "quorum",
            "x-message-ttl": ms,
            "x-dead-letter-exchange": "",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            # Long after its last message has left: a queue that expires takes them with it.
            "x-expires": min(_LONGEST, 2 * ms + 3_600_000),
        }
        channel = self._channel
        try:
            channel.exchange_declare(exchange, "headers", durable=True, auto_delete=False)
            channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
            channel.queue_bind(name, exchange, arguments={"x-match": "all", **match})
        except amqp.ChannelError as error:
            raise self._live.refused(error) from error
