"""Whether arguments fit a task's function: checked before they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["ArgumentCheck"]

_VARARGS = 0x04  # a flag of code objects


class ArgumentCheck:
    """Called with ``args, kwargs``, raises TypeError when the function would not take them."""

    def __init__(self, function: Callable[..., Any], name: str, *, bound: bool) -> None:
        self._function = function
        self._name = name
        self._own = (None,) if bound else ()  # stands for the task itself
        self._least, self._most = _positional(function, len(self._own))

    # Nearly every call passes its arguments by position, and counting them is a hundredth of the
    # work of a signature.

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if kwargs or not self._least <= len(args) <= self._most:
            self._bind(args, kwargs)

    def of_all(self, calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]) -> None:
        """The same for many calls."""
        least, most = self._least, self._most
        for args, kwargs in calls:
            if kwargs or not least <= len(args) <= most:
                self._bind(args, kwargs)

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        import inspect

        try:
            inspect.signature(self._function).bind(*self._own, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {error}") from None


def _positional(function: Callable[..., Any], own: int) -> tuple[int, int]:
    """The least and the most arguments that surely fit by position; none fit where (1, 0)."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__"):
        return 1, 0
    if code.co_kwonlyargcount > len(function.__kwdefaults__ or ()):
        return 1, 0
    most = code.co_argcount
    least = most - len(function.__defaults__ or ())
    return max(0, least - own), 10**9 if code.co_flags & _VARARGS else most - own
