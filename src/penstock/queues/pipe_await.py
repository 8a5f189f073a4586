"""Waiting at the descriptors of a pipe without blocking an event loop."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["Awaiting"]

# Only while a thread or another process waits at the same end: it holds the turn, and no
# descriptor tells when it ends.
BUSY_PAUSE = 0.002


class Awaiting:
    """The coroutines of one event loop that wait at one end; made and used within that loop.

    Only ``wake`` may be called from elsewhere.
    """

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._waiting: set[asyncio.Future[None]] = set()
        self.to_send = asyncio.Lock()
        self.to_receive = asyncio.Lock()

    def is_here(self) -> bool:
        """True in the loop that this was made for, and not in a fork of it."""
        import asyncio

        return self._loop is asyncio.get_running_loop() and self._pid == os.getpid()

    def is_over(self) -> bool:
        """True when nobody can wait here any more."""
        return self._loop.is_closed() or self._pid != os.getpid()

    async def until(self, descriptor: int | None, *, writable: bool = False) -> None:
        """Wait until the descriptor is ready, until woken, or, without a descriptor, a bit."""
        ready = self._loop.create_future()
        self._waiting.add(ready)
        undo = self._watch(descriptor, ready, writable=writable)
        try:
            await ready
        finally:
            undo()
            self._waiting.discard(ready)

    def wake(self) -> None:
        """End all waits: the end was closed. Called by any thread."""
        for ready in tuple(self._waiting):
            if not self.is_over():
                self._loop.call_soon_threadsafe(_set, ready)

    def _watch(
        self, descriptor: int | None, ready: asyncio.Future[None], *, writable: bool
    ) -> Callable[[], None]:
        """Have ``ready`` set; what to call when that is over."""
        if descriptor is None:
            return self._loop.call_later(BUSY_PAUSE, _set, ready).cancel
        # A duplicate: the end may be closed meanwhile, and its user may watch it, too.
        own = os.dup(descriptor)
        add = self._loop.add_writer if writable else self._loop.add_reader
        remove = self._loop.remove_writer if writable else self._loop.remove_reader
        add(own, _set, ready)
        return partial(_unwatch, remove, own)


def _unwatch(remove: Callable[[int], bool], own: int) -> None:
    remove(own)
    os.close(own)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
