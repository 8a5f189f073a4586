"""One engine for each URL of a process, so that all its users share connections."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from penstock.url import Url

__all__ = ["Named"]

E = TypeVar("E")


class Named(Generic[E]):
    """The engines of one kind that somebody uses. Thread- and fork-safe."""

    def __init__(self) -> None:
        self._engines: weakref.WeakValueDictionary[str, E] = weakref.WeakValueDictionary()
        self._free()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._free)

    def _free(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held the one before

    def at(self, url: str | Url, make: Callable[[Url], E]) -> E:
        """The engine for a URL, made if nobody uses it yet."""
        address = Url.parse(url)
        with self._lock:
            engine = self._engines.get(address.raw)
            if engine is None:
                engine = self._engines[address.raw] = make(address)
            return engine
