"""Hearing from a Redis server when something changed: one connection and one thread for all.

A bell is ``key:<name>``, ``channel:<name>`` or ``pattern:<of channels>``. For a key the server
tells once that it was changed, by whomever (client-side caching, RESP3): the bell is armed by
looking at the key, and armed again when its listener clears it. If there is something at that look,
it rings, so nothing that came in between is missed; and as it is armed only after a change, what
just lies there rings once.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, TypeVar

from penstock.engines.memory_bells import BellListener, Bells
from penstock.engines.redis_line import Line
from penstock.errors import PenstockError, Unavailable

__all__ = ["Ears", "HeedingListener"]

_LONGEST_PAUSE = 1.0  # seconds between two attempts to connect again
_CONFIRMED = 3.0  # seconds that a server may take to confirm a subscription
_SILENCE = 5.0  # seconds without a word, after which the server is asked for one
_KEPT = 1_000  # messages of channels that a listener keeps until they are taken

L = TypeVar("L", bound="RedisListener")


class RedisListener(BellListener):
    """Hears some bells; clearing it arms those that rang."""

    def __init__(self, names: tuple[str, ...], ears: Ears) -> None:
        super().__init__(names, ears.bells)
        self._ears = ears

    def clear(self) -> None:
        super().clear()
        self._ears.arm(self.names)

    def close(self) -> None:
        closed = self._reader < 0
        super().close()
        if not closed:
            self._ears.leave(self.names)


class HeedingListener(RedisListener):
    """Hears what is said in its channels, too: :meth:`take` gives it, oldest first."""

    def __init__(self, names: tuple[str, ...], ears: Ears) -> None:
        super().__init__(names, ears)
        self._said: deque[bytes] = deque(maxlen=_KEPT)

    def tell(self, message: bytes) -> None:
        """Keep it; before the bell is rung, so that who clears and takes misses none."""
        self._said.append(message)

    def take(self) -> list[bytes]:
        """What was said since the last call."""
        taken = []
        while self._said:
            taken.append(self._said.popleft())
        return taken


class Ears:
    """The connection that hears. ``connect`` gives a new line."""

    def __init__(self, connect: Callable[[], Line]) -> None:
        self.bells = Bells()
        self._connect = connect
        self._lock = threading.Lock()
        self._wanted: Counter[str] = Counter()  # listeners of each bell
        self._armed: set[str] = set()  # keys whose change the server will tell
        self._changed_keys: set[str] = set()  # since somebody asked
        self._replies: list[str | None] = []  # keys asked about, in order; None: other commands
        self._confirmed: dict[str, threading.Event] = {}
        self._line: Line | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._served = False  # the server does on this connection what it is asked

    def listen(self, names: tuple[str, ...]) -> RedisListener:
        """A listener for these bells, from now on; raises Unavailable."""
        return self._join(RedisListener(names, self))

    def heed(self, names: tuple[str, ...]) -> HeedingListener:
        """A listener that keeps what is said in its channels; raises Unavailable."""
        return self._join(HeedingListener(names, self))

    def _join(self, listener: L) -> L:
        names = listener.names
        with self.bells.lock:
            for name in names:
                self.bells._ears.setdefault(name, set()).add(listener)  # noqa: SLF001 - its own kind
        try:
            self._begin(names)
        except BaseException:
            listener.close()
            raise
        return listener

    def _begin(self, names: tuple[str, ...]) -> None:
        with self._lock:
            self._closed = False
            for name in names:
                self._wanted[name] += 1
            fresh = [name for name in names if _is_said(name)]
            waits = {}
            for name in fresh:
                if name not in self._confirmed:
                    self._confirmed[name] = threading.Event()
                    if self._line is not None:
                        self._send(*_subscription(name))
                waits[name] = self._confirmed[name]
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="penstock-redis-ears", daemon=True
                )
                self._thread.start()
        for confirmed in waits.values():
            if not confirmed.wait(_CONFIRMED):
                raise Unavailable("the Redis server confirms no subscription")
        self.arm(names)

    def arm(self, names: tuple[str, ...]) -> None:
        """Have the server tell of the next change of those keys that it does not watch."""
        with self._lock:
            for name in names:
                if name.startswith("key:") and name not in self._armed and self._line:
                    self._armed.add(name)
                    self._replies.append(name)
                    self._send("EXISTS", _bare(name), reply=True)

    def was_changed(self, name: str) -> bool:
        """Whether that key may have changed since this was asked; true where nobody listens."""
        with self._lock:
            if name not in self._wanted or self._line is None:
                return True
            changed = name in self._changed_keys
            self._changed_keys.discard(name)
            return changed

    def leave(self, names: tuple[str, ...]) -> None:
        """One listener less for these."""
        with self._lock:
            for name in names:
                self._wanted[name] -= 1
                if self._wanted[name] > 0:
                    continue
                del self._wanted[name]
                if self._confirmed.pop(name, None) is not None and self._line is not None:
                    self._send(*_subscription(name, "UNSUBSCRIBE"))

    def connect_anew(self) -> None:
        """Give this connection up: what it leads to is not the right server any more."""
        with self._lock:
            self._hang_up()

    def close(self) -> None:
        """Hear nothing more; the thread ends."""
        with self._lock:
            self._closed = True
            self._hang_up()

    def reconnect(self) -> None:
        """Hang up; the thread connects again, and every listener is told to look."""
        with self._lock:
            line = self._line
        if line is not None:
            with contextlib.suppress(OSError):  # it is gone already
                line.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closing would not

    # --- the connection; all with the lock ---------------------------------------------------

    def _send(self, *words: str, reply: bool = False) -> None:
        import hiredis

        line = self._line
        if line is None:
            return
        with contextlib.suppress(OSError):  # the reader notices, and everything begins anew
            line.send(hiredis.pack_command(words))  # type: ignore[arg-type] # any number

    def _hang_up(self) -> None:
        """End the connection; the thread closes it.

        Were it closed here, its number might be another socket's before the thread, on its way
        into the call, waits for it: then it would hear nothing for seconds.
        """
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(OSError):  # it is gone already
                line.sock.shutdown(socket.SHUT_RDWR)

    def _open(self) -> Line:
        """A line that talks RESP3, in which the server may say something unasked."""
        line = self._connect()
        line.sock.settimeout(_SILENCE)
        with self._lock:
            self._line = line
            self._armed.clear()
            self._replies = [None, None]
            self._send("HELLO", "3")
            self._send("CLIENT", "TRACKING", "ON")
            for name in self._wanted:
                if _is_said(name):
                    self._send(*_subscription(name))
        return line

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        pause, first = 0.0, True
        while True:
            with self._lock:
                if self._closed:
                    self._thread = None
                    return
                self._served = False
            line = None
            with contextlib.suppress(OSError, PenstockError):
                line = self._open()
                self._all_look(anew=not first)
                first = False
                self._hear(line.sock)
            with self._lock:
                self._line = None
            if line is not None:
                line.close()
            pause = 0.0 if self._served else min(_LONGEST_PAUSE, 2 * pause or 0.05)
            threading.Event().wait(random.uniform(pause / 2, pause))

    def _all_look(self, *, anew: bool) -> None:
        """What happened while the connection was lost, nobody was told."""
        with self._lock:
            names = tuple(self._wanted)
            self._changed_keys.update(names)
        self.arm(names)
        if anew:
            self.bells.ring(names)

    def _hear(self, sock: Any) -> None:
        import hiredis

        reader = hiredis.Reader(notEnoughData=_NOTHING)
        while data := self._received(sock):
            reader.feed(data)
            rung = []
            while (said := reader.gets()) is not _NOTHING:
                rung += self._told(said, isinstance(said, hiredis.PushNotification))
            self.bells.ring(rung)

    def _received(self, sock: Any) -> bytes:
        """What the server says; after a silence it is asked to, and has as long again for that.

        Else one that went without a word would be listened to for ever.
        """
        asked = False
        while True:
            try:
                return sock.recv(65536)  # type: ignore[no-any-return]
            except TimeoutError:
                if asked:
                    raise
                with self._lock:
                    if self._wanted:
                        asked = True
                        self._replies.append(None)
                        self._send("PING")

    def _told(self, said: Any, pushed: bool) -> list[str]:
        if not pushed:
            if isinstance(said, Exception):  # as while it loads its data: later it may not
                self._served = False
                raise ConnectionResetError(str(said))
            self._served = True
            with self._lock:
                key = self._replies.pop(0) if self._replies else None
                there = key is not None and said == 1
                if there and key is not None:
                    self._changed_keys.add(key)
            return [key] if there and key is not None else []
        kind = said[0]
        if kind == b"invalidate":
            return self._changed(said[1])
        name = _NAMED[kind[:1] == b"p"] + said[1].decode("utf-8", "replace")
        if kind in {b"message", b"pmessage"}:
            self._pass_on(name, said[-1])
            return [name]
        if kind in {b"subscribe", b"psubscribe"}:
            with self._lock:
                confirmed = self._confirmed.get(name)
            if confirmed is not None:
                anew = confirmed.is_set()
                confirmed.set()
                return [name] if anew else []  # a look before this one may have missed something
        return []

    def _pass_on(self, name: str, message: bytes) -> None:
        with self.bells.lock:
            for listener in self.bells._ears.get(name, ()):  # noqa: SLF001 - its own kind
                if isinstance(listener, HeedingListener):
                    listener.tell(message)

    def _changed(self, keys: list[bytes] | None) -> list[str]:
        with self._lock:
            if keys is None:  # all of them: the server was flushed
                names = list(self._armed)
            else:
                names = ["key:" + key.decode("utf-8", "replace") for key in keys]
            self._armed.difference_update(names)
            self._changed_keys.update(name for name in names if name in self._wanted)
        return names


_NOTHING = object()


_NAMED = ("channel:", "pattern:")


def _is_said(name: str) -> bool:
    """True for what is subscribed to."""
    return name.startswith(_NAMED)


def _subscription(name: str, command: str = "SUBSCRIBE") -> tuple[str, str]:
    return ("P" if name.startswith("pattern:") else "") + command, _bare(name)


def _bare(name: str) -> str:
    return name.partition(":")[2]
