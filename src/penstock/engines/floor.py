"""Who reads a connection that hears: its own thread, or whoever waits for what it brings.

A thread that reads and then wakes the one that waits costs a wake-up across cores, some 50 us. So
a waiter may borrow the floor and read for itself, and tell the others what is theirs.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from penstock.engines.keen import NEVER, Keen

__all__ = ["Attention", "Floor", "read_a_while"]

_READS = 0.5  # seconds that a waiter reads for itself: who waits for longer may as well be woken


class Floor:
    """The reading of one connection. ``hear`` takes the bytes, in order; ``ask`` asks for some."""

    def __init__(
        self, sock: Any, *, hear: Callable[[bytes], None], ask: Callable[[], bool], silence: float
    ) -> None:
        """After ``silence`` seconds without a byte it asks, and waits as long again at most."""
        self._sock = sock
        self._fd: int = sock.fileno()
        self._hear = hear
        self._ask = ask
        self._silence = silence
        self._reads = 0
        self._reading = threading.Lock()  # one at a time reads and tells
        self._lending = threading.Lock()
        self._lent = self._closed = False
        self._poller: Any = select.epoll() if hasattr(select, "epoll") else None
        if self._poller is not None:
            self._poller.register(self._fd, select.EPOLLIN)
        self._lendable = self._poller is not None and type(sock) is socket.socket  # not by TLS

    # --- the thread --------------------------------------------------------------------------

    def run(self) -> None:
        """Read until the connection ends, but for what others read; raises OSError."""
        asked = False
        while True:
            before = self._reads
            if self._is_readable():
                self.read()
            if self._reads != before:
                asked = False
            elif asked:
                raise TimeoutError("not a word, though it was asked for one")
            else:
                asked = self._ask()

    def _is_readable(self) -> bool:
        if self._poller is not None:
            return bool(self._poller.poll(self._silence))
        return bool(select.select([self._sock], [], [], self._silence)[0])

    def close(self) -> None:
        """It is read no more, whoever has the floor: the number may soon be another's."""
        with self._reading, self._lending:
            self._closed = True
            if self._poller is not None:
                self._poller.close()

    # --- whoever has the floor ---------------------------------------------------------------

    def read(self) -> None:
        """Hear what there is; raises OSError at the end, and whatever came in between."""
        with self._reading:
            if self._closed:
                raise ConnectionResetError("the connection was closed")
            try:
                self._hear(self._received())
                self._reads += 1
            except BlockingIOError:  # the other one was faster
                pass
            except BaseException:  # half heard: from here on replies would be taken for others
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)
                raise

    def _received(self) -> bytes:
        if self._lendable:
            data = os.read(self._fd, 65536)
        else:
            data = self._sock.recv(65536)
            while getattr(self._sock, "pending", int)():  # what TLS has read is not readable again
                data += self._sock.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data

    def fileno(self) -> int:
        return self._fd

    # --- lending -----------------------------------------------------------------------------

    def borrow(self) -> bool:
        """Have the thread leave it to the caller; False when somebody else has it."""
        with self._lending:
            if self._lent or self._closed or not self._lendable:
                return False
            self._lent = True
            self._poller.unregister(self._fd)
            return True

    def give_back(self) -> None:
        """Let the thread read again."""
        with self._lending:
            self._lent = False
            if not self._closed:
                self._poller.register(self._fd, select.EPOLLIN)

    def read_until(self, descriptor: int, seconds: float, keen: Keen = NEVER) -> None:
        """Hear until that descriptor is readable, too, or the seconds are over, or the end."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self._fd, select.POLLIN)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            ready = [found for found, _ in keen.poll(poll, left)]
            if descriptor in ready:
                return
            if ready:
                try:
                    self.read()
                except OSError:  # the thread will see it, too, and connects anew
                    return


class _BothEnds:
    """One descriptor for two: readable when the one is, and, while that is open, the other."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poller: Any = select.epoll() if hasattr(select, "epoll") else None
        if self._poller is not None:
            self._poller.register(descriptor, select.EPOLLIN)

    def fileno(self) -> int:
        return self._descriptor if self._poller is None else int(self._poller.fileno())

    def open(self, other: int) -> None:
        """Count the other in, unless it was closed in this moment: then nothing comes of it."""
        try:  # noqa: SIM105 - in each turn of a loop
            self._poller.register(other, select.EPOLLIN)
        except (OSError, ValueError):
            pass

    def shut(self, other: int) -> None:
        """Count it out."""
        try:  # noqa: SIM105 - in each turn of a loop
            self._poller.unregister(other)
        except (OSError, ValueError):  # it was closed, and so is out
            pass

    def close(self) -> None:
        """Give the descriptor up."""
        if self._poller is not None:
            self._poller.close()


class Lent(Protocol):
    """A connection whose reading is the borrower's until it is given back."""

    def fileno(self) -> int:
        """Ready when there is something to read."""
        ...

    def read(self) -> None:
        """Hear what there is; raises OSError at the end."""
        ...

    def give_back(self) -> None:
        """Let others read again."""
        ...


class Attention:
    """What a listener does whose owner's loop reads while it sleeps: :class:`plan.Attentive`.

    ``descriptor`` is readable when it was rung; ``borrow`` gives the floor, or None.
    """

    def __init__(self, descriptor: int, borrow: Callable[[], Lent | None]) -> None:
        self._both = _BothEnds(descriptor)
        self._borrow = borrow
        self._floor: Lent | None = None  # while it is lent to this
        self._counted = -1  # its descriptor

    def fileno(self) -> int:
        return self._both.fileno()

    def begin(self) -> None:
        """The owner goes to sleep."""
        self._floor = self._borrow()
        if self._floor is not None:
            self._counted = self._floor.fileno()
            self._both.open(self._counted)

    def end(self, *, ready: bool) -> None:
        """It woke up; what there is to read is heard."""
        floor, self._floor = self._floor, None
        if floor is None:
            return
        self._both.shut(self._counted)
        try:
            if ready:
                floor.read()
        except OSError:  # the thread will see it, too, and connects anew
            pass
        finally:
            floor.give_back()

    def close(self) -> None:
        """Give the descriptor up."""
        self._both.close()


def read_a_while(
    borrow: Callable[[], Floor | None],
    descriptor: int,
    timeout: float | None,
    keen: Keen = NEVER,
) -> float | None:
    """Read what comes until that descriptor is readable; gives what is left of the timeout."""
    floor = borrow()
    if floor is None:
        return timeout
    began = time.monotonic()
    try:
        floor.read_until(descriptor, _READS if timeout is None else min(_READS, timeout), keen)
    finally:
        floor.give_back()
    return None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
