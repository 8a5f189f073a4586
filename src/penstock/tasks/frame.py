"""What is running now: the current call, how it came here, and where its states go.

A frame lives in a context variable, so that each thread and each coroutine has its own. Frames do
no I/O: a worker hands in a :class:`Reporter` that sends states over its channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from penstock.tasks.signals import Retry
from penstock.wire.task import Call

__all__ = ["Context", "Delivery", "Frame", "Reporter", "current", "entered", "running"]


class Reporter(Protocol):
    """Where the states of a running task go."""

    def update_state(self, task_id: str, state: str, document: bytes) -> None:
        """Pass on a state of the task; ``document`` is its result document, encoded."""
        ...


class Delivery(msgspec.Struct, frozen=True):
    """How a call came to where it runs."""

    queue: str = ""
    priority: int = 0
    attempt: int = 1  # how often this publication was leased
    hostname: str = ""  # the worker's name
    eager: bool = False  # run where it was sent, without a broker


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """``task.request``: what a task may know of its own run.

    Headers of one's own (``apply_async(headers=...)``) are attributes, too.
    """

    id: str | None = None
    task: str | None = None
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}
    retries: int = 0  # runs that asked for another one
    attempt: int = 1  # leases of this publication: more than 1 after a crash
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    timelimit: tuple[float | None, float | None] = (None, None)  # seconds: hard, soft
    shadow: str | None = None
    origin: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: int = 0
    stamped_headers: Sequence[str] | None = None
    stamps: Mapping[str, Any] = {}
    headers: Mapping[str, Any] = {}
    delivery_info: Mapping[str, Any] = {}
    hostname: str = ""
    is_eager: bool = False
    called_directly: bool = True  # as a plain function, not through a broker

    def __getattr__(self, name: str) -> Any:
        # Reached only for what is no field.
        if not name.startswith("_") and name in self.headers:
            return self.headers[name]
        raise AttributeError(f"this request has no attribute and no header {name!r}")

    def __repr__(self) -> str:
        """Which run it is, without its arguments."""
        if self.called_directly:
            return "<Context, called directly>"
        return f"<Context {self.task}[{self.id}], retries {self.retries}>"

    @classmethod
    def of(cls, call: Call, delivery: Delivery) -> Context:
        """The request of a call that came that way."""
        return cls(
            id=call.id,
            task=call.task,
            args=call.args,
            kwargs=call.kwargs,
            retries=call.retries,
            attempt=delivery.attempt,
            root_id=call.root_id or call.id,
            parent_id=call.parent_id,
            group=call.group,
            group_index=call.group_index,
            eta=_moment(call.eta),
            expires=_moment(call.expires),
            timelimit=call.timelimit,
            shadow=call.shadow,
            origin=call.origin,
            reply_to=call.reply_to,
            correlation_id=call.id,
            ignore_result=call.ignore_result,
            replaced_task_nesting=call.replaced_task_nesting,
            stamped_headers=call.stamped_headers,
            stamps=call.stamps or {},
            headers=call.headers or {},
            delivery_info=_delivery_info(delivery),
            hostname=delivery.hostname,
            is_eager=delivery.eager,
            called_directly=False,
        )


def _moment(wall: float | None) -> datetime | None:
    return None if wall is None else datetime.fromtimestamp(wall, UTC)


def _delivery_info(delivery: Delivery) -> dict[str, Any]:
    return {
        "exchange": "",
        "routing_key": delivery.queue,
        "priority": delivery.priority,
        "redelivered": delivery.attempt > 1,
    }


class Frame:
    """One run under way; touched only by the thread or coroutine that runs the task.

    ``call`` is None for a task that is called as a plain function.
    """

    __slots__ = ("_context", "call", "children", "delivery", "outer", "reporter", "retry")

    def __init__(
        self,
        call: Call | None = None,
        *,
        delivery: Delivery | None = None,
        reporter: Reporter | None = None,
        context: Context | None = None,
    ) -> None:
        self.call = call
        self.delivery = delivery or _NOWHERE
        self.reporter = reporter
        self.outer: Frame | None = None
        self.children: list[str] = []  # ids of what this run sent
        self.retry: Retry | None = None  # what retry(throw=False) left behind
        self._context = context

    @property
    def context(self) -> Context:
        """The request as the task sees it, made when it is asked for."""
        if self._context is None:
            call = self.call
            self._context = Context() if call is None else Context.of(call, self.delivery)
        return self._context

    def __repr__(self) -> str:
        call = self.call
        return f"<Frame {call.task}[{call.id}]>" if call else "<Frame, called directly>"


_NOWHERE = Delivery()
_current: ContextVar[Frame | None] = ContextVar("penstock_frame", default=None)


current = _current.get  # the innermost frame, None outside tasks


def running() -> Frame | None:
    """The frame of the call that is being run, seen through tasks called as functions."""
    frame = _current.get()
    while frame is not None and frame.call is None:
        frame = frame.outer
    return frame


class entered:  # noqa: N801 - used as a function; made by contextmanager it cost 1 us more a task
    """Make it the current frame within the ``with`` block."""

    __slots__ = ("_frame", "_token")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __enter__(self) -> Frame:
        frame = self._frame
        frame.outer = _current.get()
        self._token = _current.set(frame)
        return frame

    def __exit__(self, *_raised: object) -> None:
        _current.reset(self._token)
