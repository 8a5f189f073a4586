"""A Redis server in virtual time: its exchanges are real, and what it pushes is heard at once.

What a server says unasked comes when it comes. Here whoever carried out an exchange waits until
all that followed from it was heard, so that one seed is one history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import hiredis

from penstock.engines.redis import RedisServer
from penstock.engines.redis_ears import Ears, _ignore
from penstock.engines.redis_line import Line
from penstock.engines.redis_listeners import RedisListener
from penstock.message import new_id
from penstock.plan import Command, Exchange, Listen
from penstock.url import Url

__all__ = ["SimulatedServer"]


class SimulatedServer(RedisServer):
    """One database of one server, behind a prefix that nobody else has."""

    def __init__(self, url: str) -> None:
        mark = "&" if "?" in url else "?"
        super().__init__(Url.parse(f"{url}{mark}key_prefix=simulated-{new_id()}."))
        self._ears: _PromptEars = _PromptEars(self._new_line)

    def execute(self, command: Command) -> Any:
        if isinstance(command, Listen):
            return self._listen(command)
        reply = super().execute(command)
        if isinstance(command, Exchange) and command.writes:
            self._ears.hear_all()
        return reply

    def clean(self) -> None:
        """Forget all that was written."""
        cursor: Any = b"0"
        while True:
            cursor, keys = self._call("SCAN", cursor, "MATCH", f"{self.prefix}*", "COUNT", 1000)
            if keys:
                self._call("DEL", *keys)
            if cursor == b"0":
                return

    def _call(self, *words: Any) -> Any:
        return super().execute(Exchange("clean", lambda batch: batch.call(*words)))


class _PromptEars(Ears):
    """Ears without a thread: they hear when they are told to, and then all there is."""

    def __init__(self, connect: Callable[[], Line]) -> None:
        super().__init__(connect)
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._own: Line | None = None

    def _begin(self, listener: RedisListener) -> None:
        if self._own is None:
            self._own = self._open()
        with self._lock:
            self._ask_for(listener)
        self.arm(listener.names)

    def arm(self, names: Iterable[str]) -> None:
        super().arm(names)
        self.hear_all()

    def hear_all(self) -> None:
        """Hear what the server has said so far, and ring for it."""
        if self._own is None or not self._wanted:
            return
        with self._lock:
            self._say((), [(("PING",), _ignore)])
        rung = []
        while self._answers:  # the last one is that of the PING
            said = self._reader.gets()
            if said is _NOTHING:
                self._reader.feed(self._own.sock.recv(65536))
            else:
                rung += self._told(said, isinstance(said, hiredis.PushNotification))
        self.bells.ring(rung)

    def close(self) -> None:
        super().close()
        if self._own is not None:
            self._own.close()
            self._own = None


_NOTHING = object()
