"""What a caller holds of a task that was sent: its state, its result, the means to stop it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from penstock.errors import ConfigError, ResultTimeout
from penstock.message import Record
from penstock.tasks.frame import running
from penstock.wire.result import (
    READY_STATES,
    ResultDocument,
    decode_result,
    read_exception,
)

if TYPE_CHECKING:
    from penstock.tasks.app import App

__all__ = ["AsyncResult"]

R = TypeVar("R")

_EXCEPTIONS = frozenset({"FAILURE", "REVOKED", "RETRY"})


class AsyncResult(Generic[R]):
    """The result of one task, by id. Cheap to make; asks the result store when it is read.

    A task that is not known is ``PENDING``: stores cannot tell "not yet" from "never sent".
    Thread-safe. Awaiting it gives the result.
    """

    __slots__ = ("__weakref__", "_final", "_ignored", "app", "id")

    def __init__(self, id: str, *, app: App, ignored: bool = False) -> None:
        if type(id) is not str or not id:
            raise ConfigError(f"a task id is a text that is not empty, not {id!r}")
        self.id = id
        self.app = app
        self._ignored = ignored  # known to store nothing: there is nothing to wait for
        self._final: ResultDocument | None = None  # a final document never changes: kept

    @classmethod
    def of_all(cls, ids: Iterable[str], *, app: App, ignored: bool) -> list[Self]:
        """Those of many calls, in order, under ids of ours: one by one they take thrice as long."""
        made, new = [], cls.__new__
        for task_id in ids:
            result = new(cls)
            result.id = task_id
            result.app = app
            result._ignored, result._final = ignored, None  # noqa: SLF001 - its own class's
            made.append(result)
        return made

    # --- waiting -------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        *,
        disable_sync_subtasks: bool = True,
    ) -> R:
        """Wait for the result; raises what the task raised, ResultTimeout after ``timeout`` s.

        Without ``propagate`` an exception is given, not raised. A task sent with
        ``ignore_result`` gives None at once. Inside a task this raises ConfigError, for a pool
        whose tasks wait for each other stands still, unless ``disable_sync_subtasks`` is False or
        the setting ``allow_join_result`` is on. ``interval`` is Celery's and has no meaning here:
        nothing polls.
        """
        if self._ignored:
            return cast("R", None)
        document = self._final
        if document is None:
            self._refuse_inside_a_task(allowed=not disable_sync_subtasks)
            timeout = self._bounded(timeout)
            document = self._read(self.app.store.wait([self.id], timeout)[0])
        return self._outcome(document, timeout, propagate=propagate)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        disable_sync_subtasks: bool = True,
    ) -> R:
        """Awaiting twin of :meth:`get`."""
        if self._ignored:
            return cast("R", None)
        document = self._final
        if document is None:
            self._refuse_inside_a_task(allowed=not disable_sync_subtasks)
            timeout = self._bounded(timeout)
            document = self._read((await self.app.store.await_([self.id], timeout))[0])
        return self._outcome(document, timeout, propagate=propagate)

    def __await__(self) -> Generator[Any, None, R]:
        return self.aget().__await__()

    def _bounded(self, timeout: float | None) -> float | None:
        """A cache drops results before their time: a wait for one that it lost must end."""
        if not self.app.store.forgets:
            return timeout
        longest = self.app.conf.result_expires or _CACHED
        return longest if timeout is None else min(timeout, longest)

    def _refuse_inside_a_task(self, *, allowed: bool) -> None:
        frame = running()
        if frame is None or frame.delivery.eager or allowed or self.app.conf.allow_join_result:
            return
        raise ConfigError(
            "a task must not wait for another one: with every slot of the worker waiting, nothing "
            "runs. Let the task end and send the rest as a task of its own; or, in a pool large "
            "enough, get(disable_sync_subtasks=False) or the setting allow_join_result=True"
        )

    def _outcome(self, document: ResultDocument, timeout: float | None, *, propagate: bool) -> R:
        if document.status not in READY_STATES:
            waited = "" if timeout is None else f" after {timeout:g} s"
            raise ResultTimeout(
                f"task {self.id} has no result{waited}: its state is {document.status}"
            )
        value = self._value(document)
        if propagate and isinstance(value, BaseException) and document.status in _EXCEPTIONS:
            raise value
        return value  # type: ignore[no-any-return]

    # --- looking -------------------------------------------------------------------------

    @property
    def task_id(self) -> str:
        """The same as ``id``."""
        return self.id

    @property
    def state(self) -> str:
        """PENDING RECEIVED STARTED RETRY SUCCESS FAILURE REVOKED, or one of the task's own."""
        return self._document().status

    @property
    def status(self) -> str:
        """The same as :attr:`state`."""
        return self.state

    @property
    def result(self) -> Any:
        """The value, the exception, or the meta of a custom state; None while there is none."""
        return self._value(self._document())

    @property
    def info(self) -> Any:
        """The same as :attr:`result`."""
        return self.result

    @property
    def traceback(self) -> str | None:
        """Where the task failed, as text."""
        return self._document().traceback

    @property
    def children(self) -> list[AsyncResult[Any]] | None:
        """What the task sent while it ran; None until it ended."""
        members = self._document().children
        return None if members is None else [self.app.AsyncResult(_child(each)) for each in members]

    @property
    def date_done(self) -> datetime | None:
        """When it ended, in UTC."""
        wall = self._document().date_done
        return None if wall is None else datetime.fromtimestamp(wall, UTC)

    @property
    def name(self) -> str | None:
        """The task's name, where the setting ``result_extended`` stores it."""
        return self._document().name

    @property
    def args(self) -> Any:
        """The task's arguments, where the setting ``result_extended`` stores them."""
        return self._document().args

    @property
    def kwargs(self) -> Any:
        """The task's keyword arguments, where ``result_extended`` stores them."""
        return self._document().kwargs

    @property
    def worker(self) -> str | None:
        """Who ran it, where ``result_extended`` stores it."""
        return self._document().worker

    @property
    def retries(self) -> int | None:
        """How often it was retried, where ``result_extended`` stores it."""
        return self._document().retries

    @property
    def queue(self) -> str | None:
        """The queue it was in, where ``result_extended`` stores it."""
        return self._document().queue

    def ready(self) -> bool:
        """True when it ended: success, failure or revoked."""
        return self.state in READY_STATES

    def successful(self) -> bool:
        """True when it ended well."""
        return self.state == "SUCCESS"

    def failed(self) -> bool:
        """True when it ended with an exception."""
        return self.state == "FAILURE"

    def _document(self) -> ResultDocument:
        return self._final or self._read(self.app.store.get([self.id])[0])

    def _value(self, document: ResultDocument) -> Any:
        if document.status in _EXCEPTIONS and document.result is not None:
            return read_exception(document.result)
        return document.result

    def _read(self, record: Record | None) -> ResultDocument:
        if record is None:
            return _UNKNOWN
        document = decode_result(record.document, limits=self.app.conf.result_limits)
        if record.final or document.status in READY_STATES:
            self._final = document
        return document

    # --- acting --------------------------------------------------------------------------

    def forget(self) -> None:
        """Drop the stored result."""
        self._final = None
        self.app.store.forget([self.id])

    async def aforget(self) -> None:
        """Awaiting twin of :meth:`forget`."""
        self._final = None
        await self.app.store.aforget([self.id])

    def revoke(self, terminate: bool = False, signal: str = "SIGTERM") -> None:
        """Have it not run; with ``terminate`` stop it by ``signal`` where it runs already.

        REVOKED is stored unless it has started or ended, so that who waits for it learns of it.
        """
        self.app.control.revoke(self.id, terminate=terminate, signal=signal)

    # --- being a value -------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncResult) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


_UNKNOWN = ResultDocument(task_id="", status="PENDING")  # what is not stored is pending
_CACHED = 86400.0  # seconds: the longest wait on a cache whose results never expire


def _child(member: Any) -> str:
    """The id in a result tuple ``[[id, parent], children]``."""
    return str(member[0][0])
