"""Which of its lives a RabbitMQ server is in.

A classic queue does not keep what was given out: after the server was killed, all that such a
queue holds is delivered as if it had been before (seen with 3.10.8). Then the flag does not tell
that a holder died with a message, and who counted it would bury what never ran, after a few kills
of the server. So each message says in which life it was sent. The name of a life is a message that
is not written to disk, in a queue that is: it ends with the server.
"""

from __future__ import annotations

import secrets
from typing import Any

from penstock.engines.amqp_live import Live

__all__ = ["BOOT_QUEUE", "Boot"]

BOOT_QUEUE = "penstock.boot"
_TRANSIENT = 1  # the delivery mode
_LOOKS, _NAP = 5, 0.02  # seconds: somebody else may be reading it just now


class Boot:
    """The name of this life; kept by the :class:`Live`, for no connection outlives one."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._name = ""

    def seen(self) -> str:
        """The name, or none where nobody has given one yet."""
        self._name = self._name or self._live.on_a_channel_of_its_own(_read)
        return self._name

    def name(self) -> str:
        """The name, given here where there is none; only where publishing is right."""
        import amqp

        for _ in range(_LOOKS):
            if self.seen():
                return self._name
            self._live.read_for(_NAP)
        self._name = secrets.token_hex(4)
        self._live.channel("declare").basic_publish(
            amqp.Message(self._name, delivery_mode=_TRANSIENT), routing_key=BOOT_QUEUE
        )
        return self._name


def _read(channel: Any) -> str:
    """It is never acknowledged: with the channel's end it is back.

    Where its queue cannot be had (its node of a cluster is away), nobody knows a name.
    """
    import amqp

    try:
        channel.queue_declare(
            BOOT_QUEUE,
            durable=True,
            auto_delete=False,
            arguments={"x-max-length": 1, "x-overflow": "drop-head"},
        )
        message = channel.basic_get(BOOT_QUEUE)
    except amqp.ChannelError:
        return ""
    return "" if message is None else bytes(message.body).decode("ascii", "replace")
