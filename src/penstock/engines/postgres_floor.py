"""Who reads the connection that hears from PostgreSQL: its own thread, or whoever waits for a bell.

See :mod:`penstock.engines.floor`; what is read are notifications, by libpq.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from penstock.engines.floor import Floor as SocketFloor

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

__all__ = ["Floor"]

Told = list[tuple[str, str]]  # channels, and what was told there


class Floor(SocketFloor):
    """The reading of one connection. ``wake`` wakes its thread; ``hear`` takes what is told."""

    def __init__(
        self, connection: Connection[Any], *, wake: int, hear: Callable[[Any], None]
    ) -> None:
        from psycopg import Error

        self._broken = Error
        self._libpq = connection.pgconn
        # A descriptor of its own, so that its number is nobody else's as long as this is open.
        mine = socket.socket(fileno=os.dup(self._libpq.socket))
        super().__init__(mine, hear=hear, ask=lambda: False, silence=0.0)
        self._poller.register(wake, select.EPOLLIN)

    def sleep(self, seconds: float) -> bool:
        """Sleep until there is something for the thread to do; False when the time is over."""
        return bool(self._poller.poll(seconds))

    def alone(self) -> AbstractContextManager[Any]:
        """Nobody else uses the connection meanwhile."""
        return self._reading

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed."""
        return -1 if self._closed else super().fileno()

    def close(self) -> None:
        super().close()
        self._sock.close()

    def _received(self) -> Any:
        told: Told = []
        try:
            self._libpq.consume_input()
        except self._broken as error:
            raise ConnectionResetError(str(error)) from error
        while (notify := self._libpq.notifies()) is not None:
            told.append((notify.relname.decode(), notify.extra.decode("utf-8", "replace")))
        return told
