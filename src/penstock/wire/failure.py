"""Exceptions on the wire: a class's name and module, and the arguments.

Our own errors travel under Celery's names, so that each side raises its own class. Reading looks
classes up among those that are already imported; it imports nothing and calls nothing but the
constructor of an exception class.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from penstock.errors import EncodeError, TaskFailed
from penstock.wire.codec import dumps

__all__ = ["exception_document", "read_exception"]

_ERRORS = "penstock.errors"
_SIGNALS = "penstock.tasks.signals"  # above this layer: only ever looked up, never imported
_MODULES = {
    "TaskRevokedError": (_ERRORS, "celery.exceptions"),
    "MaxRetriesExceededError": (_ERRORS, "celery.exceptions"),
    "NotRegistered": (_ERRORS, "celery.exceptions"),
    "Retry": (_SIGNALS, "celery.exceptions"),
    "Ignore": (_SIGNALS, "celery.exceptions"),
    "Reject": (_SIGNALS, "celery.exceptions"),
    "TimeLimitExceeded": (_ERRORS, "billiard.exceptions"),
    "SoftTimeLimitExceeded": (_ERRORS, "billiard.exceptions"),
    "WorkerLostError": (_ERRORS, "billiard.exceptions"),
    "EncodeError": (_ERRORS, "kombu.exceptions"),
    "DecodeError": (_ERRORS, "kombu.exceptions"),
}
_TO_CELERY = {(ours, name): theirs for name, (ours, theirs) in _MODULES.items()}
_FROM_CELERY = {(theirs, name): ours for name, (ours, theirs) in _MODULES.items()}


def exception_document(exc: BaseException) -> dict[str, Any]:
    """The exception as plain data; an argument that has no form in JSON is written as its repr."""
    name, module = _name(exc)
    return {
        "exc_type": name,
        "exc_message": [_plain(argument) for argument in exc.args],
        "exc_module": module,
    }


def read_exception(document: Any) -> BaseException:
    """The exception that a result document tells of. Never raises, never imports.

    Only classes of modules that are imported already come back as themselves; the rest, and what
    would end the reading program (SystemExit and the like), comes back as TaskFailed.
    """
    if not isinstance(document, Mapping):
        return TaskFailed(document)
    name, module = document.get("exc_type"), document.get("exc_module")
    name, module = str(name or ""), str(module or "")
    message = document.get("exc_message")
    args = message if isinstance(message, list | tuple) else () if message is None else (message,)
    kind = _find(module, name)
    exception = None if kind is None else _made(kind, args)
    return TaskFailed(*args, exc_type=name, exc_module=module) if exception is None else exception


def _name(exc: BaseException) -> tuple[str, str]:
    if isinstance(exc, TaskFailed) and exc.exc_type:  # passed on as what it was
        return exc.exc_type, exc.exc_module
    kind = type(exc)
    name, module = kind.__qualname__, kind.__module__
    return name, _TO_CELERY.get((module, name), module)


def _plain(argument: Any) -> Any:
    try:
        dumps(argument)
    except EncodeError:
        return _repr(argument)
    return argument


def _repr(argument: Any) -> str:
    try:
        return repr(argument)
    except Exception:  # noqa: BLE001 - an argument's own __repr__ may raise anything
        return f"<{type(argument).__qualname__} that cannot be shown>"


def _find(module: str, name: str) -> type[Exception] | None:
    """The exception class of that name, among what is imported already."""
    found: Any = sys.modules.get(_FROM_CELERY.get((module, name), module))
    for step in name.split("."):
        found = _attribute(found, step)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _attribute(owner: Any, name: str) -> Any:
    # Dictionaries, never getattr: that may run a module's or a class's own code, even import.
    if isinstance(owner, ModuleType):
        return object.__getattribute__(owner, "__dict__").get(name)
    return type.__getattribute__(owner, "__dict__").get(name) if isinstance(owner, type) else None


def _made(kind: type[Exception], args: Any) -> Exception | None:
    try:
        made: object = kind(*args)  # its __new__ may give anything
    except Exception:  # noqa: BLE001 - a class may want other arguments than it hands on
        return None
    return made if isinstance(made, Exception) else None
