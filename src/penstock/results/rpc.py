"""Results as messages on RabbitMQ, to whoever sent the task: Celery's ``rpc://``.

Nothing is kept. A sender has a queue of its own, whose name goes along with each task; a worker
sends what becomes of it there. So only the process that sent a task can know its end, a state that
nobody waits for is gone, and a store that was asked for a stranger's result has none.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.amqp import AmqpServer, Out
from penstock.engines.amqp_ears import AmqpEar, Heard
from penstock.engines.amqp_limit import Limit
from penstock.engines.amqp_live import Live
from penstock.engines.memory_bells import Bells
from penstock.errors import ConfigError, Unavailable, Uncertain
from penstock.message import Record, new_id
from penstock.plan import Plan, Wait
from penstock.results.base import PlannedStore
from penstock.url import Url

__all__ = ["RpcStore"]

_KEPT = 100_000  # results that are kept for who asks; the oldest are forgotten first
_EXPIRES = 600_000  # ms that a queue outlives the connection of its owner
_READY = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
_PATIENCE = 1.0  # seconds for a server that takes no messages at present
_LONGEST_WAIT = 30.0
_TRANSIENT = 1  # the delivery mode


class RpcStore(PlannedStore):
    """Sends results by the server that carries the tasks, and receives those of one's own."""

    forgets: ClassVar[bool] = True
    replies: ClassVar[bool] = True

    engine: AmqpServer

    def __init__(self, *, engine: AmqpServer, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._clock = clock
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()  # a fork is another sender
        self._address = new_id()
        self._ear: AmqpEar | None = None
        self._opening = threading.Lock()
        self._bells = Bells()
        self._found: dict[str, Record] = {}  # guarded by the lock
        self._lock = threading.Lock()

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> RpcStore:
        """The store at the URL of a broker, ``amqp://…``."""
        return cls(engine=AmqpServer(url), clock=clock)

    def close(self) -> None:
        if self._ear is not None and self._pid == os.getpid():
            self._ear.close()
            self._ear = None
        self.engine.close()

    # --- sending -----------------------------------------------------------------------------

    def _put(self, records: Sequence[Record]) -> Plan[list[Record]]:
        for record in records:
            if not record.reply_to:  # a client's own word, which is nobody else's business
                self._keep(record)
        letters = [record for record in records if record.reply_to]
        if letters:
            yield Out("results", lambda live: _send(live, letters))
        return []

    def _arrive(self, group: str, member: str, size: int) -> Plan[bool]:
        yield from ()  # a plan
        raise ConfigError(
            "rpc:// keeps nothing, and so it cannot count the members of a group: use another "
            "result_backend, redis:// for example"
        )

    # --- receiving ---------------------------------------------------------------------------

    def reply_address(self, seconds: float = 10.0) -> str:
        self._of_this_process()
        if self._ear is None:
            self._open(Limit(seconds))
        return self._address

    def _open(self, limit: Limit) -> None:
        """Hear what comes to our address; one thread does it, others wait for it."""
        late = f"RabbitMQ at {self.engine.url} has no queue for results yet; nothing was sent"
        if not self._opening.acquire(timeout=max(0.0, limit.left)):
            raise Unavailable(late)
        try:
            if self._ear is None:
                self._ear = self.engine.ears.open(self._declared, self._on_result, limit=limit)
        except Uncertain as error:
            raise Unavailable(late) from error
        finally:
            self._opening.release()

    def _of_this_process(self) -> None:
        if self._pid != os.getpid():
            self._start_afresh()

    def _declared(self, live: Live) -> str:
        """The queue; that of a lost connection is still there, with what came meanwhile."""
        import amqp

        try:
            live.channel("declare").queue_declare(
                self._address, durable=True, auto_delete=False, arguments={"x-expires": _EXPIRES}
            )
        except amqp.ChannelError as error:
            raise live.refused(error) from error
        return self._address

    def _on_result(self, heard: Heard) -> None:
        record = _read(heard)
        if record is not None:
            self._keep(record)

    def _keep(self, record: Record) -> None:
        with self._lock:
            known = self._found.pop(record.id, None)
            self._found[record.id] = known if known is not None and known.final else record
            while len(self._found) > _KEPT:
                del self._found[next(iter(self._found))]
        self._bells.ring((record.id,))

    def _get(self, ids: Sequence[str]) -> Plan[list[Record | None]]:
        yield from ()  # a plan
        return self._look(ids)

    def _look(self, ids: Sequence[str]) -> list[Record | None]:
        self._of_this_process()
        with self._lock:
            return [self._found.get(task_id) for task_id in ids]

    def _wait(self, ids: Sequence[str], timeout: float | None) -> Plan[list[Record | None]]:
        self._of_this_process()
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        listener = self._bells.listen(tuple(dict.fromkeys(ids)))
        try:
            while True:
                found = self._look(ids)
                left = _LONGEST_WAIT if deadline is None else deadline - self._clock.monotonic()
                if left <= 0 or all(record is not None and record.final for record in found):
                    return found
                yield Wait(listener, left)
        finally:
            listener.close()

    def _forget(self, ids: Sequence[str]) -> Plan[None]:
        yield from ()  # a plan
        with self._lock:
            for task_id in ids:
                self._found.pop(task_id, None)

    def __repr__(self) -> str:
        return f"RpcStore({str(self.engine.url)!r})"


def _send(live: Live, records: Sequence[Record]) -> None:
    """Send each to its address, and return when the server has read all.

    Where nobody is at an address any more, what is sent there is gone.
    """
    import amqp

    live.await_unblocked(Limit(_PATIENCE))
    channel = live.channel("results")
    try:
        for record in records:
            letter = amqp.Message(
                record.document,
                content_type="application/json",
                content_encoding="utf-8",
                correlation_id=record.id,
                delivery_mode=_TRANSIENT,
                priority=0,
            )
            channel.basic_publish(letter, "", record.reply_to)
        channel.basic_qos(0, 1, False)  # its reply comes when all before it was dealt with
    except amqp.ChannelError as error:
        raise live.refused(error) from error


class _Told(msgspec.Struct):
    """What is looked for in a document."""

    status: str
    task_id: str = ""


_decode = msgspec.json.Decoder(_Told).decode


def _read(heard: Heard) -> Record | None:
    """The record in what came; None for what is no result."""
    told = _told(heard.body)
    if told is None:
        return None
    task_id: Any = heard.properties.get("correlation_id") or told.task_id
    return Record(task_id, told.status, heard.body, final=told.status in _READY)


def _told(body: bytes) -> _Told | None:
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # it may be JSON to Python alone, with NaN
    try:
        return msgspec.convert(json.loads(body), _Told)
    except (ValueError, RecursionError, msgspec.ValidationError):
        return None
