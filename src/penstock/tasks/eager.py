"""Running a task where it is sent, without a broker: ``apply()`` and ``task_always_eager``.

The call goes through the same message and the same result document as one that a worker runs, so
that what would not survive the way there and back shows here, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from penstock.message import Message, Record
from penstock.tasks.frame import Delivery
from penstock.tasks.outcome import (
    Failed,
    Outcome,
    Rejected,
    Report,
    followed,
    record,
    report,
)
from penstock.tasks.result import AsyncResult
from penstock.tasks.run import arun_call, run_call
from penstock.tasks.signals import Reject
from penstock.wire.result import READY_STATES, ResultDocument, decode_result
from penstock.wire.task import Call, decode_call

if TYPE_CHECKING:
    from penstock.tasks.app import App

__all__ = ["EagerResult", "arun_eagerly", "run_eagerly"]

R = TypeVar("R")


class EagerResult(AsyncResult[R], Generic[R]):
    """The result of a task that was run at once. It is ready; exceptions are the very ones."""

    def __init__(self, id: str, *, app: App, written: Report) -> None:
        super().__init__(id, app=app)
        self._state = written.state
        self._error = _error(written.outcome)
        if written.document is not None:
            self._final = decode_result(written.document, limits=app.conf.result_limits)

    @property
    def state(self) -> str:
        return self._state

    def _document(self) -> ResultDocument:
        return self._final or _NOTHING

    def _value(self, document: ResultDocument) -> Any:
        return document.result if self._error is None else self._error

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        *,
        disable_sync_subtasks: bool = True,
    ) -> R:
        """The result at once; raises what the task raised."""
        if self._error is not None and propagate:
            raise self._error
        return cast("R", self.result)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        disable_sync_subtasks: bool = True,
    ) -> R:
        """The result at once; raises what the task raised."""
        return self.get(timeout, propagate)

    def revoke(self, terminate: bool = False, signal: str = "SIGTERM") -> None:
        """Nothing: it has ended."""


_NOTHING = ResultDocument(task_id="", status="SUCCESS")  # what an ignored run leaves


def _error(outcome: Outcome) -> BaseException | None:
    match outcome:
        case Failed(error=error):
            return error
        case Rejected(reason=reason, requeue=requeue):
            return Reject(reason, requeue)
        case _:
            return None


class _StoreReporter:
    """States of an eager run: to the store where results go there, else nowhere."""

    def __init__(self, app: App) -> None:
        self._app = app

    def update_state(self, task_id: str, state: str, document: bytes) -> None:
        app = self._app
        if app.conf.task_store_eager_result:
            ttl = app.conf.result_expires
            app.store.put([Record(id=task_id, state=state, document=document, ttl=ttl)])


def run_eagerly(app: App, message: Message, *, throw: bool) -> EagerResult[Any]:
    """Run the call of a message here, retries included, without waiting for its time."""
    reporter = _StoreReporter(app)
    while True:
        call, delivery = _read(app, message)
        outcome = run_call(app, call, delivery=delivery, reporter=reporter)
        outcome, following = followed(outcome, call, message, settings=app.conf)
        if following is None:
            return _ended(app, call, outcome, delivery, throw=throw)
        message = following


async def arun_eagerly(app: App, message: Message, *, throw: bool) -> EagerResult[Any]:
    """Awaiting twin of :func:`run_eagerly`: ``async def`` tasks run on the running loop."""
    reporter = _StoreReporter(app)
    while True:
        call, delivery = _read(app, message)
        outcome = await arun_call(app, call, delivery=delivery, reporter=reporter)
        outcome, following = followed(outcome, call, message, settings=app.conf)
        if following is None:
            return _ended(app, call, outcome, delivery, throw=throw)
        message = following


def _read(app: App, message: Message) -> tuple[Call, Delivery]:
    call = decode_call(message, limits=app.conf.message_limits)
    return call, Delivery(queue=message.queue, priority=message.priority, eager=True)


def _ended(
    app: App, call: Call, outcome: Outcome, delivery: Delivery, *, throw: bool
) -> EagerResult[Any]:
    now = app.clock.wall()
    written = report(outcome, call, settings=app.conf, delivery=delivery, now=now)
    if app.conf.task_store_eager_result and not app.tasks[call.task].ignores_result(call):
        ttl = app.conf.result_expires
        stored = record(written, call, key="", attempt=1, ttl=ttl)
        if stored is not None and written.state in READY_STATES:
            app.store.put([stored])
    result: EagerResult[Any] = EagerResult(call.id, app=app, written=written)
    if throw:
        result.get()
    return result
