"""Notes on a Redis server, said where Celery's processes listen.

Requests and events are published in channels, answers are pushed to the lists that are bound to
their address. What penstock asks of workers is kept as news besides, so that a worker of penstock
whose connection was lost learns of it when it is back; a Celery worker does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from penstock.brokers.redis_looking import script
from penstock.brokers.talk import Ear, Talk
from penstock.engines.pending import Pending
from penstock.engines.redis_batch import Batch
from penstock.errors import DecodeError
from penstock.plan import Exchange
from penstock.wire.control import ANSWERS, REQUESTS
from penstock.wire.events import EVENTS
from penstock.wire.note import Note, pack_note, unpack_note

if TYPE_CHECKING:
    from penstock.brokers.redis import RedisBroker
    from penstock.engines.redis_listeners import HeedingListener

__all__ = ["RedisTalk"]

_TELL, _ANSWER, _BIND = map(script, ("announce", "answer", "bind"))
_NEWS_KEPT = 1_000
_OURS = "penstock"  # a header of requests that are among the news, too
_ANSWERS_AT_ONCE = 1_000
_SEP = "\x06\x16"
_BOX_KEPT = 3600  # seconds: then Celery sweeps what a killed process left bound


class RedisTalk(Talk):
    """Over the engine of one broker."""

    def __init__(self, broker: RedisBroker) -> None:
        self.broker = broker
        self.engine = broker.engine

    def channel(self, exchange: str, routing_key: str = "") -> str:
        """The channel of a fanout exchange."""
        name = f"{self.engine.prefix}/{self.engine.database}.{exchange}"
        return f"{name}/{routing_key}" if routing_key else name

    def ask(self, note: Note) -> int | None:
        words = (self.engine.prefix, "", pack_note(_marked(note)), _NEWS_KEPT)
        channel = self.channel(note.exchange)
        tell = Exchange("ask", lambda batch: batch.script(_TELL, *words, channel))
        return int(self.engine.execute(tell))

    def say(self, notes: Sequence[Note]) -> None:
        def say(batch: Batch) -> list[Pending]:
            return [self._say(batch, note) for note in notes]

        self.engine.execute(Exchange("say", say))

    def _say(self, batch: Batch, note: Note) -> Pending:
        packed = pack_note(note)
        if note.exchange == EVENTS:
            return batch.call("PUBLISH", self.channel(EVENTS, note.routing_key), packed)
        words = (self.engine.prefix, "", note.exchange, note.routing_key, packed)
        return batch.script(_ANSWER, *words)

    def requests(self, worker: str) -> Ear:
        self.broker.announced()  # what was asked before is not for the new one
        return _Asked(self, self.engine.heed((self._news, f"channel:{self.channel(REQUESTS)}")))

    @property
    def _news(self) -> str:
        return f"key:{self.engine.prefix}penstock.news"

    def box(self, address: str) -> Ear:
        return _Box(self, address)

    def watch(self) -> Ear:
        pattern = self.channel(EVENTS, "*")
        return _Heard(self.engine.heed((f"pattern:{pattern}",)))


def _marked(note: Note) -> Note:
    return Note(
        exchange=note.exchange,
        headers={**note.headers, _OURS: 1},
        body=note.body,
        delivery_mode=note.delivery_mode,
    )


def _read(packed: Sequence[bytes]) -> Iterator[Note]:
    """What can be read of what came; the rest is not for us."""
    for one in packed:
        try:
            yield unpack_note(one)
        except DecodeError:
            continue


class _Heard:
    """An ear on channels."""

    def __init__(self, listener: HeedingListener) -> None:
        self._listener = listener
        self.fileno: Callable[[], int] = listener.fileno
        self.wait: Callable[[float | None], bool] = listener.wait
        self.clear: Callable[[], None] = listener.clear

    def take(self) -> list[Note]:
        return list(_read(self._listener.take()))

    def close(self) -> None:
        self._listener.close()


class _Asked(_Heard):
    """Hears requests: Celery's in the channel, penstock's among the news."""

    def __init__(self, talk: RedisTalk, listener: HeedingListener) -> None:
        super().__init__(listener)
        self._broker = talk.broker

    def take(self) -> list[Note]:
        theirs = [note for note in super().take() if _OURS not in note.headers]
        return theirs + list(_read(self._broker.announced()))


class _Box(_Heard):
    """Hears answers: a list that is bound to its address, as long as it is open."""

    def __init__(self, talk: RedisTalk, address: str) -> None:
        self._engine = talk.engine
        prefix = self._engine.prefix
        queue = f"{address}.{ANSWERS}"
        self._list = f"{prefix}{queue}"
        self._bindings = f"{prefix}_kombu.binding.{ANSWERS}"
        self._binding = f"{address}{_SEP}{_SEP}{queue}"
        super().__init__(self._engine.heed((f"key:{self._list}",)))
        try:
            self._bind()
        except BaseException:
            super().close()
            raise

    def _bind(self) -> None:
        words = (self._engine.prefix, "", ANSWERS, self._binding, _BOX_KEPT)
        self._engine.execute(Exchange("bind", lambda batch: batch.script(_BIND, *words)))

    def take(self) -> list[Note]:
        pop = Exchange("answers", lambda b: b.call("RPOP", self._list, _ANSWERS_AT_ONCE))
        return list(_read(self._engine.execute(pop) or ()))

    def close(self) -> None:
        super().close()

        def unbind(batch: Batch) -> Pending:
            batch.call("DEL", self._list)
            return batch.call("SREM", self._bindings, self._binding)

        self._engine.execute(Exchange("unbind", unbind))
