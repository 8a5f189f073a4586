"""Running one task: from a call to an outcome, in named steps.

Workers, eager mode and tests all run tasks through here. Whatever the task does, the answer is an
:class:`~penstock.tasks.outcome.Outcome`: nothing that a task raises comes out as an exception.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from penstock.tasks.frame import Delivery, Frame, Reporter, entered
from penstock.tasks.outcome import Failed, Ignored, Outcome, Rejected, Retrying, Succeeded
from penstock.tasks.retry import autoretry_delay, exceeded, may_retry, next_call, wants_autoretry
from penstock.tasks.signals import Ignore, Reject, Retry, Signal
from penstock.tasks.traces import traceback_text
from penstock.wire.task import Call

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from penstock.tasks.app import App
    from penstock.tasks.task import Task

__all__ = ["Guard", "Minder", "Runner", "arun_call", "run_call", "run_coroutine"]

Runner = Callable[[Coroutine[Any, Any, Outcome]], Outcome]
Guard = Callable[[], AbstractContextManager[Any]]  # entered around the task's function alone
Minder = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]  # awaits the task's coroutine


def run_call(
    app: App,
    call: Call,
    *,
    delivery: Delivery | None = None,
    reporter: Reporter | None = None,
    runner: Runner | None = None,
    guard: Guard = nullcontext,
    minder: Minder | None = None,
) -> Outcome:
    """Run a call here and now, blocking; raises NotRegistered when the app has no such task.

    ``runner`` runs the coroutine of an ``async def`` task to its end, on one loop for life, say;
    without it each runs on a loop of its own. ``minder`` awaits the coroutine itself.
    """
    run = _Run(app, call, delivery=delivery, reporter=reporter, guard=guard, minder=minder)
    value = run.invoked()
    if isinstance(value, CoroutineType):
        return (runner or run_coroutine)(run.awaited(value))
    return run.outcome(value)


async def arun_call(
    app: App,
    call: Call,
    *,
    delivery: Delivery | None = None,
    reporter: Reporter | None = None,
    guard: Guard = nullcontext,
    minder: Minder | None = None,
    executor: Executor | None = None,
) -> Outcome:
    """As :func:`run_call`, on the running loop; ``def`` tasks run on a thread of ``executor``.

    A cancelled call cancels the task and passes the cancellation on.
    """
    if not app.tasks[call.task].is_async:
        return await _on_thread(
            lambda: run_call(app, call, delivery=delivery, reporter=reporter, guard=guard),
            executor,
        )
    run = _Run(app, call, delivery=delivery, reporter=reporter, guard=guard, minder=minder)
    value = run.invoked()
    if isinstance(value, CoroutineType):
        return await run.awaited(value)
    return run.outcome(value)


async def _on_thread(work: Callable[[], Outcome], executor: Executor | None) -> Outcome:
    import asyncio

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(executor, context.run, work)


def run_coroutine(coroutine: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run a coroutine on a loop of its own, on another thread where this one has a loop already."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, coroutine).result()


class _Raised:
    """What the task's function raised, in the place of what it did not return."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Run:
    """One run: invoked, perhaps awaited, judged. Touched by the one thread that runs it."""

    def __init__(
        self,
        app: App,
        call: Call,
        *,
        delivery: Delivery | None,
        reporter: Reporter | None,
        guard: Guard,
        minder: Minder | None,
    ) -> None:
        self.app = app
        self.call = call
        self.task: Task[..., Any] = app.tasks[call.task]
        self.frame = Frame(call, delivery=delivery, reporter=reporter)
        self.guard = guard
        self.minder = minder
        self.began = time.perf_counter()

    def invoked(self) -> Any:
        """What the function returned: a value, a coroutine, or what it raised."""
        try:
            with entered(self.frame), self.guard():
                return self.task.run(*self.call.args, **self.call.kwargs)
        except BaseException as error:  # noqa: BLE001 - a task may raise anything, SystemExit too
            return _Raised(error)

    async def awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Outcome:
        """The outcome of a coroutine that the function returned."""
        try:
            with entered(self.frame):
                value = await (coroutine if self.minder is None else self.minder(coroutine))
        except BaseException as error:
            if _cancelled_from_outside(error):
                raise
            value = _Raised(error)
        return self.outcome(value)

    def outcome(self, value: Any) -> Outcome:
        """The judgement over a value or an exception."""
        if isinstance(value, _Raised):
            return self._after_exception(value.error)
        if self.frame.retry is not None:  # retry(throw=False)
            return self._retrying(self.frame.retry)
        return Succeeded(value=value, runtime=self._runtime(), children=self._children())

    def _after_exception(self, error: BaseException) -> Outcome:
        if isinstance(error, Signal):
            return self._after_signal(error)
        if wants_autoretry(self.task.options, error):
            return self._autoretried(error)
        return self._failed(error)

    def _after_signal(self, signal: Signal) -> Outcome:
        match signal:
            case Retry():
                return self._retrying(signal)
            case Reject():
                return Rejected(
                    reason=str(signal.reason), requeue=signal.requeue, runtime=self._runtime()
                )
            case Ignore():
                return Ignored(runtime=self._runtime())
            case _:
                return self._failed(signal)

    def _autoretried(self, error: BaseException) -> Outcome:
        options = self.task.options
        most = options.retry_kwargs.get("max_retries", options.max_retries)
        if not may_retry(self.call.retries, most):
            return self._failed(error)
        delay = autoretry_delay(options, self.call.retries)
        return self._retrying(Retry(exc=error, when=self.app.clock.wall() + delay))

    def _retrying(self, signal: Retry) -> Outcome:
        """Run again: by :meth:`Task.retry`, by an option, or by a bare ``raise Retry()``."""
        options = self.task.options
        if signal.call is None and not may_retry(self.call.retries, options.max_retries):
            return self._failed(signal.exc or exceeded(self.call))
        at = signal.when
        if at is None:
            at = self.app.clock.wall() + options.default_retry_delay
        return Retrying(
            call=signal.call or next_call(self.call, at=at),
            at=at,
            error=signal.exc,
            traceback=traceback_text(signal.exc or signal),
            runtime=self._runtime(),
            queue=signal.queue,
            priority=signal.priority,
            children=self._children(),
        )

    def _failed(self, error: BaseException) -> Failed:
        return Failed(
            error=error,
            traceback=traceback_text(error),
            runtime=self._runtime(),
            children=self._children(),
        )

    def _runtime(self) -> float:
        return time.perf_counter() - self.began

    def _children(self) -> tuple[str, ...]:
        return tuple(self.frame.children)


def _cancelled_from_outside(error: BaseException) -> bool:
    """True when who awaits the run cancelled it; a task may also raise CancelledError itself."""
    import asyncio

    if not isinstance(error, asyncio.CancelledError):
        return False
    waiting = asyncio.current_task()
    return waiting is not None and waiting.cancelling() > 0
