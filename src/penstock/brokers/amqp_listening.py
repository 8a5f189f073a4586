"""Hearing of messages and of news on RabbitMQ, and being known by a name."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from penstock.brokers.amqp_celery_delays import bind_to_delays
from penstock.brokers.amqp_delays import Delays
from penstock.brokers.amqp_holdings import Holdings
from penstock.brokers.amqp_looking import AmqpLooking
from penstock.brokers.amqp_moves import Move, returned, shifting
from penstock.brokers.amqp_queues import Queues, back_of
from penstock.clock import Clock
from penstock.engines.amqp import AmqpServer, Out
from penstock.engines.amqp_live import Live
from penstock.engines.floor import Attention
from penstock.engines.memory_bells import Bells
from penstock.errors import NameTaken, PenstockError
from penstock.plan import Exchange, Listener, Plan, drive

__all__ = ["AmqpListening"]

_NEWS = "penstock.news"
_ANNOUNCED = "\0"  # the bell of announcements: no queue has such a name
_NEWS_KEPT = 1_000


class _News:
    """What was announced to all, on one connection; kept by its :class:`Live`."""

    def __init__(self, live: Live) -> None:
        self.heard: list[bytes] = []
        self.ring: Any = None
        channel = live.channel("news")
        channel.exchange_declare(_NEWS, "fanout", durable=True, auto_delete=False)
        self._channel = channel
        self._queue = channel.queue_declare("", exclusive=True, auto_delete=True).queue
        channel.queue_bind(self._queue, _NEWS)
        channel.basic_consume(self._queue, no_ack=True, callback=self._on_message)

    def take(self) -> list[bytes]:
        """What was announced so far: two answers come after what the queue has given us."""
        self._channel.queue_declare(self._queue, passive=True)
        self._channel.basic_qos(0, 0, False)
        found, self.heard = self.heard, []
        return found

    def _on_message(self, message: Any) -> None:
        self.heard.append(bytes(message.body))
        del self.heard[:-_NEWS_KEPT]
        if self.ring is not None:
            self.ring()


class AmqpListening(AmqpLooking):
    """Bells are rung by consumers; see :mod:`penstock.brokers.amqp_doorbell`."""

    def __init__(self, engine: AmqpServer, clock: Clock) -> None:
        super().__init__(engine, clock)
        self._bells = Bells()
        self._lock = threading.Lock()
        self._listened: Counter[str] = Counter()
        self._name: str | None = None
        self._celery_delays = False  # clients of Celery delay by exchanges

    # --- messages ------------------------------------------------------------------------

    def listen(self, queues: Sequence[str]) -> Listener:
        names = list(dict.fromkeys(queues))
        listener = self._hear(names)

        def begin(live: Live) -> None:
            for name in names:
                live.kept(Queues).ensure(name)
                live.kept(Queues).ensure(back_of(name))
            if self._celery_delays:
                bind_to_delays(live, names)
            self._arm(live, names, 1)
            self._subscribed(live)

        self.engine.execute(Exchange("listen", begin))
        self.engine.post(Out("register", lambda live: live.kept(Queues).register(*names)))
        self.engine.post(Out("delays", lambda live: live.kept(Delays).look_after()))
        return listener

    def _hear(self, names: Sequence[str]) -> _Ear:
        with self._lock:
            self._listened.update(names)
        return _Ear(self, tuple(names), self._bells)

    def _arm(self, live: Live, names: Sequence[str], room: int) -> None:
        """Have the bells of these queues rung, so far as somebody listens."""
        bells = live.kept(Holdings).bells
        bells.ring = self._ring
        for name in names:
            if self._listened[name] > 0:
                bells.arm(back_of(name), room)
                bells.arm(name, room)

    def _ring(self, source: str) -> None:
        self._bells.ring((source.removeprefix(back_of("")),))

    def _on_loss(self) -> None:
        """The connection was lost: whoever listens looks again, by a new one."""
        with self._lock:
            names = [name for name, count in self._listened.items() if count > 0]
        self._bells.ring([*names, _ANNOUNCED])

    def leave(self, names: Sequence[str]) -> None:
        """A listener was closed; what came for nobody goes to others."""
        with self._lock:
            self._listened.subtract(names)
            alone = [name for name in names if self._listened[name] <= 0]
        if alone:
            self._in_background(self._retiring(alone))

    def _retiring(self, names: Sequence[str]) -> Plan[None]:
        def retire(live: Live) -> list[Move]:
            bells = live.kept(Holdings).bells
            alone = [name for name in names if self._listened[name] <= 0]
            sources = [source for name in alone for source in (back_of(name), name)]
            found = bells.retire(sources)
            wall = self._clock.wall()
            return [returned(live, one, wall) for one in found]

        yield from shifting((yield Exchange("retire", retire)))

    def _in_background(self, plan: Plan[None]) -> None:
        def run() -> None:
            with suppress(PenstockError):  # what it could not hand back the server gives out
                drive(plan, self.engine)

        threading.Thread(target=run, name="penstock-amqp-back", daemon=True).start()

    # --- news ----------------------------------------------------------------------------

    def announce(self, payload: bytes) -> None:
        def announce(live: Live) -> None:
            import amqp

            channel = live.channel("news")
            channel.exchange_declare(_NEWS, "fanout", durable=True, auto_delete=False)
            channel.basic_publish_confirm(amqp.Message(payload), exchange=_NEWS)

        self.engine.execute(Out("announce", announce))

    def announced(self) -> list[bytes]:
        def heard(live: Live) -> list[bytes]:
            return self._subscribed(live).take()

        news: list[bytes] = self.engine.execute(Exchange("announced", heard))
        return news

    def _subscribed(self, live: Live) -> _News:
        news = live.kept(_News)
        news.ring = self._on_loss  # everybody looks
        return news

    # --- names ---------------------------------------------------------------------------

    def enrol(self, name: str, info: Mapping[str, Any]) -> None:
        """The name is a queue that only one connection may have."""

        def enrol(live: Live) -> None:
            import amqp

            def declare(channel: Any) -> None:
                channel.queue_declare(f"penstock.worker.{name}", exclusive=True, auto_delete=True)

            try:
                live.on_a_channel_of_its_own(declare)
            except amqp.ResourceLocked as error:
                raise NameTaken(
                    f"a worker named {name} is there already: choose another name with -n"
                ) from error

        self.engine.execute(Exchange("enrol", enrol))
        self._name = name


class _Ear:
    """A listener that tells the broker when it is closed."""

    def __init__(self, broker: AmqpListening, names: tuple[str, ...], bells: Bells) -> None:
        self._inner = bells.listen((*names, _ANNOUNCED))
        self._names = names
        self._broker: AmqpListening | None = broker
        self._attention = Attention(self._inner.fileno(), broker.engine.borrow_custody)
        self.fileno = self._attention.fileno
        self.attend = self._attention.begin
        self.wait = self._inner.wait
        self.clear = self._inner.clear

    def attended(self, *, ready: bool) -> bool:
        self._attention.end(ready=ready)
        return self._inner.is_rung

    def close(self) -> None:
        """Stop listening."""
        self._inner.close()
        self._attention.close()
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.leave(self._names)
