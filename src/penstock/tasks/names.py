"""How tasks are named, and what to say to a name that nobody knows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from penstock.errors import ConfigError

__all__ = ["same_function", "task_name", "unknown"]


def task_name(function: Callable[..., Any], app_name: str) -> str:
    """``module.function``, as Celery forms it.

    A script's own tasks are in ``__main__``, which is another module in every process: the app's
    name stands for it, so that ``python tasks.py`` and a worker of ``tasks`` agree.
    """
    own = getattr(function, "__name__", None)
    if own is None:
        raise ConfigError(f"{function!r} has no name to call a task by: use @app.task(name=...)")
    module = function.__module__
    if module == "__main__":
        module = app_name or _script()
    return f"{module}.{own}"


def _script() -> str:
    path = getattr(sys.modules.get("__main__"), "__file__", None) or "__main__"
    return str(path).replace("\\", "/").rpartition("/")[2].removesuffix(".py")


def same_function(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """True when they are one piece of code: a module that was imported again, say."""
    return one is other or (_place(one) is not None and _place(one) == _place(other))


def _place(function: Callable[..., Any]) -> tuple[str, str, int] | None:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", "")
    if code is None or "<locals>" in name:  # made by another function: code alone says too little
        return None
    if code.co_filename.startswith("<"):  # typed in again at a prompt
        return "<prompt>", name, 0
    return code.co_filename, name, code.co_firstlineno


def unknown(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that is none of the known ones; it names the nearest."""
    import difflib

    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(choices)}"
    return ConfigError(f"there is no {what} {name[:100]!r}; {hint}")
