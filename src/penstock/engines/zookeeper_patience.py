"""How long the ZooKeeper client waits for a server that took its connection and says nothing.

A server that is just starting accepts connections a moment before it can serve them, and those it
forgets: the client library waits for the whole session's time-out (10 seconds, say) before it
tries again, while the server has long been there. Here an attempt is given a second, the next one
twice as much, and so on up to what the library would wait: so a server that is slow, or far away,
is reached as well.

Imported only where the client library is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kazoo.handlers.threading import SequentialThreadingHandler

__all__ = ["PatientHandler"]

_FIRST = 1.0  # seconds


class PatientHandler(SequentialThreadingHandler):  # type: ignore[misc]
    """The library's way to wait, with a limit while there is no session. Of one client."""

    def __init__(self) -> None:
        super().__init__()
        self.is_connected: Callable[[], bool] = lambda: False
        self._patience = _FIRST  # touched by the thread that owns the connection alone

    def select(self, *sets: Any) -> Any:
        """What is ready. While connecting, nothing after a while: the attempt has failed."""
        *descriptors, timeout = sets
        if self.is_connected():
            self._patience = _FIRST
            return super().select(*sets)
        given = self._patience if timeout is None else min(timeout, self._patience)
        ready = super().select(*descriptors, given)
        if not any(ready):
            self._patience *= 2
        return ready

    def create_connection(self, *words: Any, timeout: float, **more: Any) -> Any:
        """A connection to a server, by the same patience."""
        try:
            return super().create_connection(*words, timeout=min(timeout, self._patience), **more)
        except TimeoutError:
            self._patience *= 2
            raise
