"""Soft time limits of coroutines: SoftTimeLimitExceeded, raised at the await they are in.

Imported with the first coroutine: whoever runs none does without asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from penstock.errors import SoftTimeLimitExceeded

__all__ = ["within"]


async def within(limit: float | None, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine gives; SoftTimeLimitExceeded is raised in it after ``limit`` seconds."""
    return await (coroutine if limit is None else _Limited(coroutine, limit))


class _Cancelled(SoftTimeLimitExceeded, asyncio.CancelledError):
    """The exception as it passes through the coroutine.

    It is a cancellation too, so that groups, shields and timeouts on its way end what they began.
    """


class _Limited:
    """Runs a coroutine step by step; its task's cancellation at the limit becomes the exception.

    Touched by its loop's thread only.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], limit: float) -> None:
        self._coroutine = coroutine
        self._limit = limit
        self._due = False

    def __await__(self) -> Generator[Any, Any, Any]:
        timer = asyncio.get_running_loop().call_later(self._limit, self._expire, _this_task())
        try:
            return (yield from self._steps())
        except _Cancelled as error:
            told = SoftTimeLimitExceeded(self._limit)
            raise told.with_traceback(error.__traceback__) from None
        finally:
            timer.cancel()

    def _expire(self, task: asyncio.Task[Any]) -> None:
        self._due = True
        task.cancel()  # ends what it waits for, however deep that is

    def _steps(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            try:
                awaited = step(value)
            except StopIteration as stop:
                return stop.value
            try:
                value = yield awaited
                step = self._coroutine.send
            except BaseException as error:  # noqa: BLE001 - all of it belongs to the coroutine
                value = self._instead_of(error)
                step = self._coroutine.throw

    def _instead_of(self, error: BaseException) -> BaseException:
        if not self._due or not isinstance(error, asyncio.CancelledError):
            return error
        self._due = False
        if _this_task().uncancel() > 0:  # the worker itself cancels it as well
            return error
        return _Cancelled(self._limit)


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a coroutine with a time limit must run in a task of its loop")
    return task
