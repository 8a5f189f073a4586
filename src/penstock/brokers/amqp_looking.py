"""Looking into a RabbitMQ server: queues, and dead letters.

The protocol can count what is ready in a queue, but neither list queues nor read one without taking
from it. Dead letters are in one queue of ours: they are taken, looked at, and left where they were
by closing the channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from penstock.brokers.amqp_moves import parcel, sending
from penstock.brokers.amqp_queues import DEAD_QUEUE, NAMES_QUEUE, Queues, back_of
from penstock.brokers.amqp_wire import Burial, burial_of, read
from penstock.brokers.base import PlannedBroker, QueueState
from penstock.clock import Clock
from penstock.engines.amqp import AmqpServer
from penstock.engines.amqp_live import Live
from penstock.message import DeadLetter, Message, new_id
from penstock.plan import Exchange

__all__ = ["AmqpLooking"]

_PAGE = 200


class AmqpLooking(PlannedBroker):
    """The half of the broker that people and dashboards use."""

    engine: AmqpServer

    def __init__(self, engine: AmqpServer, clock: Clock) -> None:
        self.engine = engine
        self._clock = clock

    # --- queues --------------------------------------------------------------------------

    def depth(self, queue: str) -> int:
        counts = self.engine.execute(Exchange("depth", lambda live: _ready(live, queue)))
        return sum(counts)

    def queues(self) -> list[QueueState]:
        dead = [letter.message.queue for letter in self.dead(None, 1_000_000)]

        def count(live: Live) -> list[QueueState]:
            names = live.kept(Queues).names() | set(dead)
            if live.kept(Queues).count(NAMES_QUEUE) is not None:
                names |= live.on_a_channel_of_its_own(_names)
            return [
                QueueState(name, ready=sum(_ready(live, name)), dead=dead.count(name))
                for name in sorted(names)
            ]

        found: list[QueueState] = self.engine.execute(Exchange("queues", count))
        return [state for state in found if state != QueueState(state.name)]

    def purge(self, queue: str) -> int:
        def purge(live: Live) -> int:
            return sum(
                live.channel("declare").queue_purge(name)
                for name in (queue, back_of(queue))
                if live.kept(Queues).count(name) is not None
            )

        purged: int = self.engine.execute(Exchange("purge", purge))
        return purged

    # --- dead letters --------------------------------------------------------------------

    def dead(self, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        letters: list[DeadLetter] = []

        def look(burial: Burial, message: Message) -> bool:
            if queue in {None, burial.queue}:
                letters.append(DeadLetter(message, burial.reason, burial.attempts, burial.dead_at))
                del letters[:-limit]
            return False

        self._through(look)
        return letters[::-1]

    def replay(self, keys: Sequence[str]) -> list[Message]:
        wanted = set(keys)
        messages: list[Message] = []

        def look(burial: Burial, message: Message) -> bool:
            if burial.key not in wanted:
                return False
            wanted.discard(burial.key)
            again = msgspec.structs.replace(message, key=new_id(), ready_at=0.0)
            self.engine.execute(sending([parcel(again, self._clock.wall())]))
            messages.append(again)
            return True

        self._through(look)
        return messages

    def drop(self, keys: Sequence[str]) -> int:
        wanted = set(keys)
        dropped = 0

        def look(burial: Burial, _message: Message) -> bool:
            nonlocal dropped
            dropped += burial.key in wanted
            return burial.key in wanted

        self._through(look)
        return dropped

    def _through(self, look: Callable[[Burial, Message], bool]) -> None:
        """Show all dead letters, oldest first; those for which it says yes are taken away."""

        def through(live: Live) -> None:
            if live.kept(Queues).count(DEAD_QUEUE) is not None:
                live.on_a_channel_of_its_own(lambda channel: _show(channel, look))

        self.engine.execute(Exchange("dead", through))


def _taken(channel: Any, queue: str) -> Iterator[Any]:
    """What is in a queue now, oldest first; what is not acknowledged stays in its place.

    The first of them says how many follow. Asked for its count, a queue would answer before it
    has taken back what somebody, who looked before, has just left: that is asked of it first.
    """
    from amqp import spec

    delivered = channel.basic_get(queue)
    for left in range(delivered.delivery_info["message_count"] if delivered else 0, -1, -1):
        if delivered is None:
            break
        yield delivered
        delivered = channel.basic_get(queue) if left else None
    channel.send_method(spec.Basic.Nack, "Lbb", (0, True, True))  # all that is left of them
    channel.queue_declare(queue, passive=True)  # answered once the queue was told of that


def _names(channel: Any) -> set[str]:
    """The names that were noted; what was noted twice is forgotten."""
    names: set[str] = set()
    for delivered in _taken(channel, NAMES_QUEUE):
        name = str(delivered.body, "utf-8") if isinstance(delivered.body, bytes) else ""
        if not name or name in names:
            channel.basic_ack(delivered.delivery_tag)
        names.add(name)
    return names - {""}


def _show(channel: Any, look: Callable[[Burial, Message], bool]) -> None:
    for delivered in _taken(channel, DEAD_QUEUE):
        burial = burial_of(delivered)
        if burial is None:
            continue  # none of ours: it is left alone
        message, _counts = read(delivered, burial.queue)
        message = msgspec.structs.replace(message, key=burial.key, ready_at=0.0)
        if look(burial, message):
            channel.basic_ack(delivered.delivery_tag)


def _ready(live: Live, queue: str) -> list[int]:
    queues = live.kept(Queues)
    return [queues.count(name) or 0 for name in (queue, back_of(queue))]
