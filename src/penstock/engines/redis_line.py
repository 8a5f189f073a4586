"""One connection to a Redis server: words out, replies in.

The client library makes it (address, TLS, password, database); on its socket go what
`hiredis` packs and reads, for the library's own way through costs several times as much.
"""

from __future__ import annotations

import contextlib
import select
from typing import Any

__all__ = ["Line"]


class Line:
    """For one user at a time."""

    def __init__(self, connection: Any) -> None:
        """With a connection of the library that is connected."""
        import hiredis

        self._connection = connection
        self.sock = connection._sock  # noqa: SLF001 - all that is wanted of it
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self.greeted = False  # the engine's greeting was sent, and not refused
        self.known: set[str] = set()  # scripts whose text was sent on it
        self.skip = 0  # replies to the greeting, which nobody waits for

    def send(self, data: bytes) -> None:
        """Write it; raises OSError."""
        self.sock.sendall(data)

    def reply(self) -> Any:
        """The next one, an Exception where the server said no; raises OSError."""
        while self.skip:
            self.greeted = not isinstance(self._next(), Exception)
            self.skip -= 1
        return self._next()

    def _next(self) -> Any:
        while (said := self._reader.gets()) is _NOTHING:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(data)
        return said

    @property
    def is_quiet(self) -> bool:
        """False when something lies there that nobody asked for: the end, as a rule."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """End it; whoever reads from it is woken."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(2)
        self._connection.disconnect()


_NOTHING = object()
