"""Loaded by every Python process that finds this folder: notes when what is asked for happens.

It wraps a few methods as their modules are imported, so that nothing of penstock knows of it.
"""

import atexit
import contextlib
import functools
import importlib.abc
import importlib.util
import os
import sys
import time
from pathlib import Path

WRAPPED = {
    "penstock.worker.supervisor": {
        "Supervisor": {"_hear": "hear", "_trade": "trade", "_dispatch": "dispatch", "_turn": "turn"}
    },
    "penstock.worker.executor": {"Executor": {"run": "run", "_begin": "read", "_end": "write"}},
    "penstock.engines.redis": {"RedisServer": {"_replies": "server"}},
    "penstock.engines.sqlite": {"SqliteFile": {"_transact": "file"}},
    "penstock.tasks.task": {"Task": {"delay": "delay"}},
    "penstock.tasks.result": {"AsyncResult": {"get": "get"}},
}
_EVERY = 200  # moments kept before they are written
_moments = []


def _keep():
    if _moments:
        kept = Path(os.environ["STAGES"]) / str(os.getpid())
        with kept.open("a", encoding="utf-8") as file:
            file.writelines(f"{at} {name}\n" for at, name in _moments)
        _moments.clear()


def _wrapped(function, name):
    @functools.wraps(function)
    def wrapper(*arguments, **options):
        _moments.append((time.monotonic_ns(), name + "<"))
        try:
            return function(*arguments, **options)
        finally:
            _moments.append((time.monotonic_ns(), name + ">"))
            if len(_moments) > _EVERY and name in {"turn", "run", "get"}:
                _keep()

    return wrapper


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what others find, and wraps it once it is loaded."""

    def find_spec(self, name, _path, _target=None):
        if name not in WRAPPED:
            return None
        classes = WRAPPED.pop(name)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            for kind, methods in classes.items():
                owner = getattr(module, kind)
                for method, label in methods.items():
                    setattr(owner, method, _wrapped(getattr(owner, method), label))

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("STAGES"):
    sys.meta_path.insert(0, _Finder())
    atexit.register(_keep)
    with contextlib.suppress(AttributeError):
        os.register_at_fork(after_in_child=_moments.clear)
