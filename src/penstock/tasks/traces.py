"""Tracebacks as their readers want them: the task's code, without the code that called it."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceback import TracebackException

__all__ = ["traceback_text"]

_OURS = str(PurePath(__file__).parent)


def traceback_text(error: BaseException) -> str:
    """The traceback as Python prints it, without our own frames. Never raises."""
    from traceback import TracebackException

    try:
        trace = TracebackException.from_exception(error, compact=True)
        _strip(trace)
        return "".join(trace.format())
    except Exception:  # noqa: BLE001 - an exception's own __str__ or notes may raise anything
        return f"{type(error).__qualname__} (its traceback cannot be shown)\n"


def _strip(trace: TracebackException) -> None:
    waiting = [trace]
    seen = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(_OURS)]
        waiting += [each for each in (one.__cause__, one.__context__) if each is not None]
        waiting += one.exceptions or ()
