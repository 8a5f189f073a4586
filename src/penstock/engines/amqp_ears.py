"""Hearing what a RabbitMQ server tells at once: one connection and one thread for all who listen.

Nothing here is acknowledged, and what is said while the connection is lost may be gone. After a
loss all queues are declared and listened to again by the thread that owns the connection, which
tries until the server is back.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec

from penstock.engines.amqp_limit import Limit, reply_within
from penstock.engines.amqp_line import Line
from penstock.engines.amqp_live import Live
from penstock.engines.memory_bells import Bells
from penstock.message import new_id

__all__ = ["AmqpEar", "Ears", "Heard"]

_KEPT = 1_000  # messages that an ear keeps until they are taken; older ones are forgotten
_PAUSE = 0.5, 1.5  # seconds between two attempts to hear again

Prepare = Callable[[Live], str]


class Heard(msgspec.Struct, frozen=True):
    """What was said, and where."""

    exchange: str
    routing_key: str
    properties: dict[str, Any]
    body: bytes


class AmqpEar:
    """Hears what comes into one queue; :meth:`take` gives it, oldest first. Also a listener.

    ``prepare`` declares the queue on a connection and gives its name.
    """

    def __init__(self, ears: Ears, prepare: Prepare, heard: Callable[[Heard], None] | None) -> None:
        self.prepare = prepare
        self.queue = ""  # on the present connection; touched by its owner
        self._ears = ears
        self._heard = heard
        self._said: deque[Heard] = deque(maxlen=_KEPT)
        self._bell = (new_id(),)
        self._inner = ears.bells.listen(self._bell)
        self.fileno = self._inner.fileno
        self.wait = self._inner.wait
        self.clear = self._inner.clear

    def tell(self, message: Any) -> None:
        """Keep it, then ring: who clears and takes misses none."""
        info, body = message.delivery_info, message.body
        body = body.encode() if isinstance(body, str) else bytes(body)
        heard = Heard(info["exchange"], info["routing_key"], message.properties, body)
        if self._heard is not None:
            self._heard(heard)
        else:
            self._said.append(heard)
        self._ears.bells.ring(self._bell)

    def take(self) -> list[Heard]:
        """What was said since the last call; never blocks."""
        taken = []
        while self._said:
            taken.append(self._said.popleft())
        return taken

    def close(self) -> None:
        """Hear nothing more."""
        self._inner.close()
        self._ears.forget(self)


class Ears:
    """All that listen by one connection. For any number of threads; a forked child has none."""

    def __init__(
        self,
        connect: Callable[[Callable[[], int]], Live],
        *,
        heartbeat: float,
        where: object,
    ) -> None:
        self._where = where
        self.bells = Bells()
        self._line = Line(connect, name="ears", heartbeat=heartbeat, lost=self._on_loss)
        self._open: set[AmqpEar] = set()
        self._lock = threading.Lock()

    def start_afresh(self) -> None:
        """Know nothing of ears and connection: they were a parent's."""
        self.bells.forsake()
        self._open = set()
        self._lock = threading.Lock()
        self._line.start_afresh()

    def open(
        self,
        prepare: Prepare,
        heard: Callable[[Heard], None] | None = None,
        *,
        limit: Limit | None = None,
    ) -> AmqpEar:
        """An ear that hears from now on; raises Unavailable, ConfigError, Uncertain.

        With ``heard`` it is told at once, by the thread that owns the connection; it keeps none.
        """
        ear = AmqpEar(self, prepare, heard)
        with self._lock:
            self._open.add(ear)
        try:
            hears = self._line.submit(lambda live: self._hear(live, ear))
            reply_within(hears, limit, self._where)
        except BaseException:
            ear.close()
            raise
        return ear

    def forget(self, ear: AmqpEar) -> None:
        """It hears nothing any more."""
        with self._lock:
            was_open = ear in self._open
            self._open.discard(ear)
        if was_open and ear.queue:
            self._line.submit(lambda live: self._leave(live, ear))

    def close(self) -> None:
        """End the connection and its thread."""
        with self._lock:
            self._open.clear()
        self._line.close()

    # --- the owner of the connection ---------------------------------------------------------

    def _hear(self, live: Live, ear: AmqpEar) -> None:
        if ear.queue or ear not in self._open:
            return
        queue = ear.prepare(live)
        live.channel("ears").basic_consume(
            queue,
            new_id(),
            no_ack=True,
            callback=ear.tell,
            on_cancel=lambda _: self._on_cancel(ear),
        )
        ear.queue = queue
        if ear not in self._open:  # it was given up meanwhile
            self._leave(live, ear)

    def _leave(self, live: Live, ear: AmqpEar) -> None:
        queue, ear.queue = ear.queue, ""
        if queue:
            live.channel("declare").queue_delete(queue)

    def _on_loss(self) -> None:
        with self._lock:
            ears = list(self._open)
        for ear in ears:
            self._on_cancel(ear)

    def _on_cancel(self, ear: AmqpEar) -> None:
        """Its queue is gone."""
        ear.queue = ""
        if ear in self._open:
            self._try(ear)

    def _try(self, ear: AmqpEar) -> None:
        hears = self._line.submit(lambda live: self._hear(live, ear))
        hears.add_done_callback(lambda future: self._tried(ear, future))

    def _tried(self, ear: AmqpEar, future: Future[None]) -> None:
        if future.cancelled() or future.exception() is None or ear not in self._open:
            return
        again = threading.Timer(random.uniform(*_PAUSE), self._try, (ear,))
        again.daemon = True
        again.start()

    def __repr__(self) -> str:
        return f"Ears(open={len(self._open)})"
