"""A task: a function that can be called here, or sent to be run by a worker."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast

from penstock.errors import ConfigError
from penstock.message import Message, Record
from penstock.tasks.calls import CallKeywords, Route, compose, compose_many, wall_time
from penstock.tasks.frame import Context, Frame, current, entered, running
from penstock.tasks.options import Priority, TaskOptions, wire_priority
from penstock.tasks.outcome import state_document
from penstock.tasks.result import AsyncResult
from penstock.tasks.retry import exceeded, limits_of, may_retry, next_call
from penstock.tasks.signals import Retry
from penstock.tasks.signature import ArgumentCheck
from penstock.wire.result import READY_STATES
from penstock.wire.task import Call

if TYPE_CHECKING:
    from penstock.tasks.app import App
    from penstock.tasks.eager import EagerResult

__all__ = ["AsyncTask", "Task"]

P = ParamSpec("P")
R = TypeVar("R")

Arguments = Sequence[Any] | Mapping[str, Any]
_COROUTINE_FUNCTION = 0x80  # a flag of code objects


def is_async(function: Callable[..., Any]) -> bool:
    """True for an ``async def``."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE_FUNCTION)


class Task(Generic[P, R]):
    """Made by ``@app.task``. Calling it runs the function here; ``delay`` sends it.

    What ``delay`` takes is what the function takes, for type checkers and at run time. Safe to
    use from any thread, loop and forked process.
    """

    def __init__(
        self, function: Callable[..., Any], *, name: str, options: TaskOptions, app: App
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name
        self.app = app
        self.options = options
        self.function = function
        self.is_async = is_async(function)
        self.run: Callable[..., Any] = MethodType(function, self) if options.bind else function
        self._check = ArgumentCheck(function, name, bound=options.bind) if options.typing else None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, as if it were no task."""
        if not self.options.bind:  # it cannot see a request
            return cast("R", self.run(*args, **kwargs))
        with entered(self._direct_frame(args, kwargs)):
            return cast("R", self.run(*args, **kwargs))

    def _direct_frame(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Frame:
        return Frame(context=Context(task=self.name, args=args, kwargs=kwargs))

    # --- sending -------------------------------------------------------------------------

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send a call; when this returns it is stored.

        Raises TypeError for arguments that the function does not take, EncodeError for ones that
        have no form in JSON, Unavailable or Uncertain when the broker is down.
        """
        return self._send(args, kwargs)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Awaiting twin of :meth:`delay`."""
        return await self._asend(args, kwargs)

    def delay_in(self, connection: Any, /, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send a call within a transaction of one's own: it exists exactly if that commits.

        For a broker in the same database: on PostgreSQL a psycopg connection, or a connection or
        session of SQLAlchemy; on SQLite an apsw connection. The result is pending until the
        commit. Raises ConfigError for anything else.
        """
        if self.app.conf.task_always_eager:
            return self._send(args, kwargs)
        route = self._route()
        message = self._message(route, args, kwargs, None)
        self.app.publish_within(connection, (message,))
        return self._sent(route, message, None)

    async def adelay_in(
        self, connection: Any, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncResult[R]:
        """Awaiting twin of :meth:`delay_in`, which also takes connections for coroutines."""
        if self.app.conf.task_always_eager:
            return await self._asend(args, kwargs)
        route = self._route()
        message = self._message(route, args, kwargs, None)
        await self.app.apublish_within(connection, (message,))
        return self._sent(route, message, None)

    def apply_async(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallKeywords],
    ) -> AsyncResult[R]:
        """Send a call with wishes: when, where, how urgent; see :class:`CallKeywords`."""
        return self._send(args, kwargs or {}, options)

    async def aapply_async(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallKeywords],
    ) -> AsyncResult[R]:
        """Awaiting twin of :meth:`apply_async`."""
        return await self._asend(args, kwargs or {}, options)

    def send_many(
        self, calls: Iterable[Arguments], **options: Unpack[CallKeywords]
    ) -> list[AsyncResult[R]]:
        """Send many calls in one round trip; the results are in their order.

        Each is a sequence of positional arguments, or a mapping of keyword arguments. When it
        fails half-way, ``Uncertain.stored`` names the ids that are stored.
        """
        if self.app.conf.task_always_eager:
            return [self._send(*_arguments(call), options) for call in calls]
        route = self._route()
        messages = self._messages(route, calls, options)
        self.app.publish(messages)
        return self._all_sent(route, messages, options)

    async def asend_many(
        self, calls: Iterable[Arguments], **options: Unpack[CallKeywords]
    ) -> list[AsyncResult[R]]:
        """Awaiting twin of :meth:`send_many`."""
        if self.app.conf.task_always_eager:
            return [await self._asend(*_arguments(call), options) for call in calls]
        route = self._route()
        messages = self._messages(route, calls, options)
        await self.app.apublish(messages)
        return self._all_sent(route, messages, options)

    def apply(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        **options: Unpack[CallKeywords],
    ) -> EagerResult[R]:
        """Run a call here, as a worker would, retries included, and without waiting for its time.

        With ``throw`` (by default as ``task_eager_propagates``) its exception is raised at once.
        """
        from penstock.tasks.eager import run_eagerly

        message = self._message(self._route(), args, kwargs or {}, options)
        propagates = self.app.conf.task_eager_propagates if throw is None else throw
        return run_eagerly(self.app, message, throw=propagates)

    def _send(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallKeywords | None = None
    ) -> AsyncResult[R]:
        app = self.app
        if app.conf.task_always_eager:
            return self.apply(args, kwargs, **(options or {}))
        route = app.route(self.name, self.options)
        message = self._message(route, args, kwargs, options)
        app.publish((message,))
        return self._sent(route, message, options)

    async def _asend(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallKeywords | None = None
    ) -> AsyncResult[R]:
        app, route = self.app, self._route()
        message = self._message(route, args, kwargs, options)
        if app.conf.task_always_eager:
            from penstock.tasks.eager import arun_eagerly

            return await arun_eagerly(app, message, throw=app.conf.task_eager_propagates)
        await app.apublish((message,))
        return self._sent(route, message, options)

    def _route(self) -> Route:
        return self.app.route(self.name, self.options)

    def _message(
        self,
        route: Route,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallKeywords | None,
    ) -> Message:
        if self._check is not None:
            self._check(args, kwargs)
        return compose(route, args, kwargs, options, clock=self.app.clock)

    def _messages(
        self, route: Route, calls: Iterable[Arguments], options: CallKeywords
    ) -> list[Message]:
        if options.get("task_id"):
            raise ConfigError("send_many takes no task_id: every call has one of its own")
        arguments = [_arguments(call) for call in calls]
        if self._check is not None:
            self._check.of_all(arguments)
        return compose_many(route, arguments, options, clock=self.app.clock)

    def _sent(self, route: Route, message: Message, options: CallKeywords | None) -> AsyncResult[R]:
        return AsyncResult(message.id, app=self.app, ignored=_ignored(route, options))

    def _all_sent(
        self, route: Route, messages: Sequence[Message], options: CallKeywords | None
    ) -> list[AsyncResult[R]]:
        ids = [message.id for message in messages]
        return AsyncResult.of_all(ids, app=self.app, ignored=_ignored(route, options))

    # --- inside a run --------------------------------------------------------------------

    @property
    def request(self) -> Context:
        """The run under way; outside of one an empty request with ``called_directly``."""
        frame = current()
        return _OUTSIDE if frame is None else frame.context

    @property
    def max_retries(self) -> int | None:
        """How often it may be retried; None: without limit."""
        return self.options.max_retries

    def retry(  # noqa: PLR0917 - in Celery's order
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | float | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        *,
        queue: str | None = None,
        priority: Priority | None = None,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
    ) -> Retry:
        """End this run and have the task run again, after ``countdown`` seconds or at ``eta``.

        Raises Retry, so that nothing after it runs. With ``throw=False`` it is returned; the task
        is retried when the run ends, whatever it returns then. When ``max_retries`` is reached,
        raises ``exc``, or MaxRetriesExceededError without one. Where the task was called as a
        function there is nothing to retry: raises ``exc``, or Retry.
        """
        frame = current()
        if frame is None or frame.call is None:
            raise exc or Retry(f"{self.name} was called as a function: it cannot be retried")
        call = frame.call
        most = self.max_retries if max_retries is None else max_retries
        if not may_retry(call.retries, most):
            raise exc or exceeded(call)
        at = self._next_run(eta, countdown)
        signal = Retry(
            exc=exc,
            when=at,
            call=next_call(
                call,
                at=at,
                args=args,
                kwargs=kwargs,
                timelimit=limits_of(call, time_limit, soft_time_limit),
            ),
            queue=queue,
            priority=None if priority is None else self._wire_priority(priority),
        )
        frame.retry = signal
        if throw:
            raise signal from exc
        return signal

    def _next_run(self, eta: datetime | float | None, countdown: float | None) -> float:
        now = self.app.clock.wall()
        if eta is not None:
            return wall_time(eta, now)
        return now + (self.options.default_retry_delay if countdown is None else countdown)

    def _wire_priority(self, priority: Priority) -> int:
        highest_first = self.app.broker.capabilities.highest_first
        return wire_priority(priority, highest_first=highest_first)

    def update_state(self, state: str, meta: object = None, *, task_id: str | None = None) -> None:
        """Report a state of one's own, with ``meta`` as what ``result`` shows: progress, say.

        Raises EncodeError for a meta that has no form in JSON, ConfigError for a state that is
        penstock's to set.
        """
        if state in READY_STATES:
            raise ConfigError(f"a task does not set {state}: it returns, or raises an exception")
        frame = running()
        own = None if frame is None or frame.call is None else frame.call.id
        target = task_id or own
        if target is None:
            raise ConfigError("update_state outside a running task needs a task_id")
        document = state_document(target, state, meta)
        if frame is not None and frame.reporter is not None and target == own:
            frame.reporter.update_state(target, state, document)
        else:
            ttl = self.app.conf.result_expires
            self.app.store.put([Record(id=target, state=state, document=document, ttl=ttl)])

    def ignores_result(self, call: Call) -> bool:
        """True when nothing shall be stored of this call: its own word before the task's."""
        if call.ignore_result is not None:
            return call.ignore_result
        return bool(self.options.resolved(self.app.conf).ignore_result)

    def __repr__(self) -> str:
        return f"<Task {self.name} of {self.app.name}>"


class AsyncTask(Task[P, R]):
    """A task whose function is an ``async def``: calling it gives a coroutine."""

    def __call__(  # type: ignore[override] # it is the function's own kind of call
        self, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        """The function's coroutine, as if it were no task."""
        coroutine: Coroutine[Any, Any, R] = self.run(*args, **kwargs)
        if not self.options.bind:
            return coroutine
        return _within(self._direct_frame(args, kwargs), coroutine)


async def _within(frame: Frame, coroutine: Coroutine[Any, Any, R]) -> R:
    with entered(frame):
        return await coroutine


def _ignored(route: Route, options: CallKeywords | None) -> bool:
    ignored = options.get("ignore_result") if options else None
    return bool(route.ignore_result if ignored is None else ignored)


_NO_KEYWORDS: Mapping[str, Any] = MappingProxyType({})


def _arguments(call: Arguments) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if type(call) is tuple:  # nearly always, and asking for a Mapping takes ten times as long
        return call, _NO_KEYWORDS
    if isinstance(call, Mapping):
        return (), call
    if isinstance(call, (str, bytes)):
        raise ConfigError(f"each call of send_many is a sequence of arguments, not {call!r}")
    return call, {}


_OUTSIDE = Context()
