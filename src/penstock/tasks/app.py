"""An application: its tasks, its settings, its broker and its result store."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, overload

from penstock.brokers.registry import open_broker
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.control.steering import Control
from penstock.errors import ConfigError, PenstockError
from penstock.message import Message
from penstock.results.registry import REPLIES, open_store
from penstock.results.registry import SCHEMES as STORE_SCHEMES
from penstock.tasks.calls import CallKeywords, Route, compose
from penstock.tasks.frame import current, running
from penstock.tasks.names import task_name
from penstock.tasks.options import TaskKeywords, TaskOptions
from penstock.tasks.publish import WithAddress, apublish, publish
from penstock.tasks.registration import BoundDecorator, Decorator, Tasks
from penstock.tasks.result import AsyncResult as Result
from penstock.tasks.revocation import record_revoked
from penstock.tasks.routes import route_of
from penstock.tasks.settings import Settings
from penstock.tasks.task import AsyncTask, Task, is_async
from penstock.url import Url

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.results.base import ResultStore

__all__ = ["DEFAULT_URL", "App"]

P = ParamSpec("P")
R = TypeVar("R")
Hook = Callable[[], object]
H = TypeVar("H", bound=Hook)

DEFAULT_URL = "sqlite:///penstock.db"
_OPEN = "open"
_BROKER_VARIABLE = "PENSTOCK_BROKER_URL"
_BACKEND_VARIABLE = "PENSTOCK_RESULT_BACKEND"


class App:
    """Tasks and where they go. Connects on first use; safe with threads, loops and forks.

    ``broker`` and ``backend`` are URLs. Where they are not given the environment says
    (PENSTOCK_BROKER_URL, PENSTOCK_RESULT_BACKEND), else the file ``penstock.db`` in the current
    folder. Results are kept where the messages are, if that engine keeps results. Other keywords
    are settings, see :class:`Settings`.
    """

    def __init__(
        self,
        name: str = "",
        broker: str | None = None,
        backend: str | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        **settings: Any,
    ) -> None:
        self.name = name
        self.clock = clock
        self.tasks = Tasks()
        self.conf = Settings.of(settings)
        for setting, url in (("broker_url", broker), ("result_backend", backend)):
            if url is not None:
                self.conf.update({setting: url})
        # What is open. Threads that open one at the same time agree by `setdefault`, without a lock
        # that a fork could leave taken.
        self._brokers: dict[str, Broker] = {}
        self._stores: dict[str, ResultStore] = {}
        self._routes: dict[str, Route] = {}
        self._routes_revision = -1
        self._addressed: bool | None = None  # whether results go to an address in the message
        self._hinted = False
        self._started: list[Hook] = []
        self._stopping: list[Hook] = []

    # --- tasks ---------------------------------------------------------------------------

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, *, bind: Literal[True], **options: Unpack[TaskKeywords]) -> BoundDecorator: ...
    @overload
    def task(
        self, *, bind: Literal[False] = False, **options: Unpack[TaskKeywords]
    ) -> Decorator: ...
    def task(self, *function: Callable[..., Any], **options: Any) -> Any:
        """Make a function a task: ``@app.task``, or ``@app.task(queue="slow", …)``.

        Raises ConfigError for an unknown option and for a name that another function has.
        """
        checked = TaskOptions.of(options)
        if not function:
            return lambda function: self._register(function, checked)
        (only,) = function
        return self._register(only, checked)

    def _register(self, function: Callable[..., Any], options: TaskOptions) -> Task[..., Any]:
        if not callable(function):
            raise ConfigError(f"@app.task is for functions, not for {function!r}")
        name = options.name or task_name(function, self.name)
        self.tasks.check(name, function)
        kind = AsyncTask if is_async(function) else Task
        task: Task[..., Any] = kind(function, name=name, options=options, app=self)
        self.tasks[name] = task
        self._routes.pop(name, None)
        return task

    def AsyncResult(self, id: str) -> Result[Any]:  # noqa: N802 - Celery's name for it
        """The result of the task with that id, whoever sent it."""
        return Result(id, app=self)

    @property
    def control(self) -> Control:
        """Looking at workers and steering them: ``app.control.ping()``."""
        return Control(lambda: self.broker, record_revoked=self._record_revoked)

    def _record_revoked(self, ids: Sequence[str]) -> None:
        now, ttl = self.clock.wall(), self.conf.result_expires
        record_revoked(ids, broker=self.broker, store=self.store, now=now, ttl=ttl)

    def send_task(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallKeywords],
    ) -> Result[Any]:
        """Send a call of a task by its name, which need not be registered here."""
        task = self.tasks.get(name)
        if task is not None:
            return task.apply_async(args, kwargs, **options)
        message = compose(self.route(name, None), args, kwargs or {}, options, clock=self.clock)
        self.publish((message,))
        return Result(message.id, app=self, ignored=bool(options.get("ignore_result")))

    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallKeywords],
    ) -> Result[Any]:
        """Awaiting twin of :meth:`send_task`."""
        task = self.tasks.get(name)
        if task is not None:
            return await task.aapply_async(args, kwargs, **options)
        message = compose(self.route(name, None), args, kwargs or {}, options, clock=self.clock)
        await self.apublish((message,))
        return Result(message.id, app=self, ignored=bool(options.get("ignore_result")))

    def route(self, name: str, options: TaskOptions | None) -> Route:
        """How calls of a task are sent; computed once, and again after a setting changed."""
        revision = self.conf.revision
        if revision != self._routes_revision:
            self._routes, self._routes_revision = {}, revision
            self._addressed = None
        route = self._routes.get(name)
        if route is None:
            highest_first = self.broker.capabilities.highest_first
            route = route_of(name, options, self.conf, highest_first=highest_first)
            self._routes[name] = route
        return route

    def publish(self, messages: Sequence[Message]) -> None:
        """Store messages, with patience where the broker is down; see :mod:`.publish`."""
        if messages:
            opened = self._brokers.get(_OPEN) if self._addressed is False else None
            publish(
                opened or self._sender,
                messages,
                timeout=self.conf.publish_timeout,
                clock=self.clock,
            )
            self._published(messages)

    async def apublish(self, messages: Sequence[Message]) -> None:
        """Awaiting twin of :meth:`publish`."""
        if messages:
            timeout = self.conf.publish_timeout
            await apublish(self._sender, messages, timeout=timeout, clock=self.clock)
            self._published(messages)

    @property
    def _sender(self) -> Broker | WithAddress:
        """What messages are published by."""
        if self._addressed is None:
            given = self.conf.result_backend or os.environ.get(_BACKEND_VARIABLE) or ""
            self._addressed = given.startswith(REPLIES)
        return WithAddress(self.broker, self.store) if self._addressed else self.broker

    def publish_within(self, connection: Any, messages: Sequence[Message]) -> None:
        """Store messages when the transaction of somebody's connection commits."""
        self.broker.publish_within(connection, messages)
        self._published(messages)

    async def apublish_within(self, connection: Any, messages: Sequence[Message]) -> None:
        """Awaiting twin of :meth:`publish_within`."""
        await self.broker.apublish_within(connection, messages)
        self._published(messages)

    def _published(self, messages: Sequence[Message]) -> None:
        frame = None if current() is None else running()
        if frame is not None:
            frame.children += [message.id for message in messages]
        elif not self._hinted:
            self._hinted = True
            self._hint_at_workers()

    def _hint_at_workers(self) -> None:
        """Say once that nobody is there to run what was sent: the first puzzle of a newcomer."""
        try:
            workers = self.broker.workers()
        except (PenstockError, NotImplementedError):
            return  # the message is stored, and a hint is no reason to fail
        if not any(worker.alive for worker in workers):
            import logging

            logging.getLogger("penstock").warning(
                "stored in %s, where no worker is running yet: start one with "
                "`penstock -A %s worker`",
                self.broker.describe() or Url.parse(self.broker_url),
                self.name or "MODULE",
            )

    # --- broker and result store ---------------------------------------------------------

    @property
    def broker_url(self) -> str:
        """Where messages go, with its password."""
        return self.conf.broker_url or os.environ.get(_BROKER_VARIABLE) or DEFAULT_URL

    @property
    def backend_url(self) -> str:
        """Where results go, with its password."""
        given = self.conf.result_backend or os.environ.get(_BACKEND_VARIABLE)
        if given:
            return given
        broker = self.broker_url
        return broker if Url.parse(broker).scheme in STORE_SCHEMES else DEFAULT_URL

    @property
    def broker(self) -> Broker:
        """The broker, opened on first use."""
        broker = self._brokers.get(_OPEN)
        return self._opened_broker() if broker is None else broker

    @property
    def store(self) -> ResultStore:
        """The result store, opened on first use."""
        store = self._stores.get(_OPEN)
        return self._opened_store() if store is None else store

    def _opened_broker(self) -> Broker:
        mine = open_broker(self.broker_url, clock=self.clock)
        mine.shape_queues(self.conf.queue_shapes)
        kept = self._brokers.setdefault(_OPEN, mine)
        if kept is not mine:
            mine.close()
        return kept

    def _opened_store(self) -> ResultStore:
        mine = open_store(self.backend_url, broker=self.broker_url, clock=self.clock)
        kept = self._stores.setdefault(_OPEN, mine)
        if kept is not mine:
            mine.close()
        return kept

    def close(self) -> None:
        """Give up connections; the next use opens new ones."""
        brokers, self._brokers = self._brokers, {}
        stores, self._stores = self._stores, {}
        self._routes, self._addressed = {}, None
        for broker in brokers.values():
            broker.close()
        for store in stores.values():
            store.close()

    @contextmanager
    def connected(
        self, *, broker: Broker, store: ResultStore, clock: Clock | None = None
    ) -> Iterator[None]:
        """Use this broker and store (and clock) within the ``with`` block; for tests."""
        before = self._brokers, self._stores, self.clock, self._hinted
        self._brokers, self._stores = {_OPEN: broker}, {_OPEN: store}
        self.clock, self._hinted = clock or self.clock, True
        self._routes, self._addressed = {}, None
        try:
            yield
        finally:
            self._brokers, self._stores, self.clock, self._hinted = before
            self._routes, self._addressed = {}, None

    # --- executors -----------------------------------------------------------------------

    def executor_started(self, hook: H) -> H:
        """Have a function called in each executor process before its first task."""
        self._started.append(hook)
        return hook

    def executor_stopping(self, hook: H) -> H:
        """Have a function called in each executor process after its last task."""
        self._stopping.append(hook)
        return hook

    def start_executor(self) -> None:
        """Call the hooks of :meth:`executor_started`, in order; for workers."""
        for hook in self._started:
            hook()

    def stop_executor(self) -> None:
        """Call the hooks of :meth:`executor_stopping`, last one first; for workers."""
        for hook in reversed(self._stopping):
            hook()

    def __repr__(self) -> str:
        broker, backend = Url.parse(self.broker_url), Url.parse(self.backend_url)
        return f"<App {self.name} broker={broker} backend={backend} tasks={len(self.tasks)}>"
