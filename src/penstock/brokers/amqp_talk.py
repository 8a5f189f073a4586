"""Notes on a RabbitMQ server, said at the exchanges where Celery's processes listen.

Who listens has a queue of its own, which ends with its connection. What is asked of workers is
kept for nobody: a worker whose connection was lost does not learn of it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from penstock.brokers.talk import Ear, Talk
from penstock.engines.amqp import AmqpServer, Out
from penstock.engines.amqp_ears import AmqpEar, Heard
from penstock.engines.amqp_limit import Limit
from penstock.engines.amqp_live import Live
from penstock.message import new_id
from penstock.wire.control import ANSWERS, REQUESTS
from penstock.wire.events import EVENTS
from penstock.wire.note import Note

__all__ = ["AmqpTalk"]

_MOST = 10_000  # notes that the server keeps for an ear that does not keep up


class _Kind(msgspec.Struct, frozen=True):
    """How Celery declares an exchange."""

    type: str
    durable: bool


_EXCHANGES = {
    REQUESTS: _Kind("fanout", durable=False),
    ANSWERS: _Kind("direct", durable=False),
    EVENTS: _Kind("topic", durable=True),
}


class Exchanges:
    """Those that this connection knows to be there; kept by its :class:`Live`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._there: set[str] = set()

    def ensure(self, name: str) -> bool:
        """Have it; False for one that does not exist and is not Celery's for notes."""
        if name not in self._there and self._found_or_made(name):
            self._there.add(name)
        return name in self._there

    def forget(self) -> None:
        """Look again: somebody may have deleted one."""
        self._there.clear()

    def _found_or_made(self, name: str) -> bool:
        """What is there may be of any kind: Celery's settings change its."""
        import amqp

        try:
            try:
                self._channel.exchange_declare(name, "direct", passive=True)
            except amqp.NotFound:
                kind = _EXCHANGES.get(name)
                if kind is None:
                    return False
                self._channel.exchange_declare(
                    name, kind.type, durable=kind.durable, auto_delete=False
                )
        except amqp.ChannelError as error:
            raise self._live.refused(error) from error
        return True

    @property
    def _channel(self) -> Any:
        return self._live.channel("declare")


class AmqpTalk(Talk):
    """Over the engine of one broker."""

    def __init__(self, engine: AmqpServer) -> None:
        self.engine = engine

    def ask(self, note: Note) -> int | None:
        def ask(live: Live) -> bool:
            live.kept(Exchanges).forget()
            return _said(live, [note], mandatory=True)

        return None if self.engine.execute(Out("ask", ask)) else 0

    def say(self, notes: Sequence[Note]) -> None:
        self.engine.execute(Out("say", lambda live: _said(live, notes)))

    def requests(self, worker: str) -> Ear:
        return self._open(REQUESTS)

    def box(self, address: str) -> Ear:
        return self._open(ANSWERS, address)

    def watch(self) -> Ear:
        return self._open(EVENTS, "#")

    def _open(self, exchange: str, key: str = "") -> Ear:
        def prepare(live: Live) -> str:
            return _own_queue(live, exchange, key)

        return _NoteEar(self.engine.ears.open(prepare))


def _own_queue(live: Live, exchange: str, key: str) -> str:
    """A new queue: the server may not have missed the one of a lost connection yet."""
    import amqp

    queue = f"penstock.ear.{new_id()}"
    live.kept(Exchanges).forget()
    live.kept(Exchanges).ensure(exchange)
    channel = live.channel("declare")
    limits = {"x-max-length": _MOST}
    try:
        channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=limits)
        channel.queue_bind(queue, exchange, routing_key=key)
    except amqp.ChannelError as error:
        raise live.refused(error) from error
    return queue


def _said(live: Live, notes: Sequence[Note], *, mandatory: bool = False) -> bool:
    """Publish them, and return when the server has read all; False where nobody took a note."""
    import amqp

    live.await_unblocked(Limit(0.0))  # what nobody waits for is no reason to wait
    exchanges = live.kept(Exchanges)
    channel = live.channel("talk")
    homeless: list[Any] = []
    channel.events["basic_return"] = {lambda *_: homeless.append(None)}
    try:
        for note in notes:
            if exchanges.ensure(note.exchange):
                channel.basic_publish(
                    _written(note), note.exchange, note.routing_key, mandatory=mandatory
                )
        channel.basic_qos(0, 1, False)  # its reply comes when all before it was dealt with
    except amqp.ChannelError as error:
        exchanges.forget()
        raise live.refused(error) from error
    return not homeless


def _written(note: Note) -> Any:
    import amqp

    return amqp.Message(
        note.body,
        application_headers=dict(note.headers),
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=note.delivery_mode,
        priority=0,
    )


class _NoteEar:
    """An ear that gives notes."""

    def __init__(self, ear: AmqpEar) -> None:
        self._ear = ear
        self.fileno = ear.fileno
        self.wait = ear.wait
        self.clear = ear.clear
        self.close = ear.close

    def take(self) -> list[Note]:
        return list(_read(self._ear.take()))


def _read(heard: Sequence[Heard]) -> Iterator[Note]:
    """What can be read of what came; the rest is not for us."""
    for one in heard:
        if one.properties.get("content_type") in {None, "application/json"}:
            yield Note(
                exchange=one.exchange,
                routing_key=one.routing_key,
                headers=one.properties.get("application_headers") or {},
                body=one.body,
            )
