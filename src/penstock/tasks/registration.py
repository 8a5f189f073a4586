"""The tasks of an app by name, and the types of what registers them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from penstock.errors import ConfigError, NotRegistered
from penstock.tasks.names import same_function
from penstock.tasks.task import AsyncTask, Task

__all__ = ["BoundDecorator", "Decorator", "Tasks"]

P = ParamSpec("P")
R = TypeVar("R")


class Tasks(dict[str, Task[..., Any]]):
    """The tasks of an app by name; raises NotRegistered for a name that is none."""

    def __missing__(self, name: str) -> Task[..., Any]:
        raise NotRegistered(f"no task is registered as {name!r}")

    def check(self, name: str, function: Callable[..., Any]) -> None:
        """Raise ConfigError where another function has that name already."""
        existing = self.get(name)
        if existing is not None and not same_function(existing.function, function):
            raise ConfigError(
                f"two functions are registered as {name!r}: {_where(existing.function)} and "
                f"{_where(function)}; give one of them another name with @app.task(name=...)"
            )


class Decorator(Protocol):
    """What ``@app.task(...)`` gives."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class BoundDecorator(Protocol):
    """What ``@app.task(bind=True)`` gives: the function's first parameter is the task itself."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Task[..., Any], P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Task[..., Any], P], R], /) -> Task[P, R]: ...


def _where(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name
