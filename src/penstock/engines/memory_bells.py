"""Bells within one process: whoever waits for something is woken through a file descriptor.

A bell has a name (``work:orders``, ``done``); ringing it makes the descriptor of every listener
of that name readable. That is all: what happened, the listener looks up for itself.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import Future

    from penstock.plan import Listener

__all__ = ["BellListener", "Bells", "ahear"]

_ONE = (1).to_bytes(8, sys.byteorder)  # what an eventfd takes; a pipe takes it as well


def _descriptors() -> tuple[int, int]:
    """The end to read and the end to write: one descriptor where the system has eventfd."""
    if hasattr(os, "eventfd"):
        one = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return one, one
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer


class BellListener:
    """Hears some bells from the moment it is made; see :class:`penstock.plan.Listener`."""

    def __init__(self, names: tuple[str, ...], bells: Bells) -> None:
        self.names = names
        self._bells = bells
        self._reader, self._writer = _descriptors()
        self._rung = False  # guarded by the lock of the bells

    def fileno(self) -> int:
        return self._reader

    def wait(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        heard = bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))
        if heard:
            self.clear()
        return heard

    def clear(self) -> None:
        with self._bells.lock:
            if self._rung:
                self._rung = False
                os.read(self._reader, len(_ONE))

    @property
    def is_rung(self) -> bool:
        """True when a ring is unheard."""
        return self._rung

    def ring(self) -> None:
        """Make the descriptor readable; called with the lock of the bells held."""
        if not self._rung:
            self._rung = True
            os.write(self._writer, _ONE)

    def close(self) -> None:
        # Under the lock, so that no ring goes to a descriptor whose number is somebody else's.
        with self._bells.lock:
            if self._reader >= 0:
                self._bells.leave(self)
                for descriptor in {self._reader, self._writer}:
                    os.close(descriptor)
                self._reader = self._writer = -1

    def __repr__(self) -> str:
        return f"BellListener{self.names}"


class Bells:
    """Who listens for which bell. For any number of threads; a forked child starts with none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._ears: dict[str, set[BellListener]] = {}

    def listen(self, names: tuple[str, ...]) -> BellListener:
        """A listener for these bells; its owner closes it."""
        listener = BellListener(names, self)
        with self.lock:
            for name in names:
                self._ears.setdefault(name, set()).add(listener)
        return listener

    def leave(self, listener: BellListener) -> None:
        """Forget a listener; called with the lock held."""
        for name in listener.names:
            ears = self._ears.get(name, set())
            ears.discard(listener)
            if not ears:
                self._ears.pop(name, None)

    def forsake(self) -> None:
        """Forget all listeners and whoever held the lock: they are in the parent of this fork."""
        self.lock = threading.Lock()
        self._ears.clear()

    @property
    def are_heard(self) -> bool:
        """True when somebody listens."""
        return bool(self._ears)

    def has(self, name: str) -> bool:
        """True when somebody listens for this bell."""
        return name in self._ears

    def ring_all(self) -> None:
        """Wake every listener."""
        self.ring(list(self._ears))

    def ring(self, names: Iterable[str]) -> None:
        """Wake every listener of these bells."""
        if not self._ears:  # nobody waits: the usual case under load, and worth no lock
            return
        with self.lock:
            for name in names:
                for listener in self._ears.get(name, ()):
                    listener.ring()

    def __repr__(self) -> str:
        return f"Bells({', '.join(self._ears)})"


async def ahear(listener: Listener, timeout: float | None) -> bool:
    """Await a ring for ``timeout`` seconds (None: for ever) and clear it; says whether it came."""
    import asyncio

    loop = asyncio.get_running_loop()
    rung: Future[None] = loop.create_future()
    descriptor = listener.fileno()
    loop.add_reader(descriptor, _note, rung)
    try:
        await asyncio.wait([rung], timeout=timeout)
    finally:
        loop.remove_reader(descriptor)
        rung.cancel()
    heard = rung.done() and not rung.cancelled()
    if heard:
        listener.clear()
    return heard


def _note(rung: Future[None]) -> None:
    if not rung.done():  # readable until it is cleared, so the loop may tell more than once
        rung.set_result(None)
