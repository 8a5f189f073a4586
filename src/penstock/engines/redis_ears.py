"""Hearing from a Redis server when something changed: one connection and one thread for all.

A bell is ``key:<name>``, ``channel:<name>`` or ``pattern:<of channels>``. For a key the server
tells once that it was changed, by whomever (client-side caching, RESP3): the bell is armed by
looking at the key, and armed again when its listener clears it, or once somebody has
looked. If there is something when it is armed, it rings, so nothing that came in between is missed;
and as it is armed only after a change, what just lies there rings once.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from penstock.engines.floor import Floor
from penstock.engines.memory_bells import Bells
from penstock.engines.redis_batch import Word
from penstock.engines.redis_line import Line
from penstock.engines.redis_listeners import (
    Answer,
    ClaimListener,
    HeedingListener,
    Question,
    RedisListener,
)
from penstock.errors import PenstockError, Unavailable

__all__ = ["Ears"]

_LONGEST_PAUSE = 1.0  # seconds between two attempts to connect again
_CONFIRMED = 3.0  # seconds that a server may take to confirm a subscription
_SILENCE = 5.0  # seconds without a word, after which the server is asked for one
_LEFT = 100  # channels of results that stay subscribed until there is something else to say
_SUBSCRIBED = 500  # channels in one command

L = TypeVar("L", bound=RedisListener)


class Ears:
    """The connection that hears. ``connect`` gives a new line."""

    def __init__(self, connect: Callable[[], Line]) -> None:
        self.bells = Bells()
        self._connect = connect
        self._lock = threading.Lock()
        self._wanted: Counter[str] = Counter()  # listeners of each bell
        self._armed: set[str] = set()  # keys whose change the server will tell
        self._have_rung = False  # some may not be armed any more
        self._changed_keys: set[str] = set()  # since somebody asked
        self._answers: deque[Answer] = deque()  # what takes each reply to come, in order
        self._left: list[str] = []  # channels that nobody listens to any more, still subscribed
        self._confirmed: dict[str, threading.Event] = {}
        self._line: Line | None = None
        self._floor: Floor | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._served = False  # the server does on this connection what it is asked

    def listen(self, names: tuple[str, ...]) -> ClaimListener:
        """A listener for these bells, from now on; raises Unavailable."""
        return self.join(ClaimListener(names, self))

    def heed(self, names: tuple[str, ...]) -> HeedingListener:
        """A listener that keeps what is said in its channels; raises Unavailable."""
        return self.join(HeedingListener(names, self))

    def join(self, listener: L) -> L:
        """Have it hear its bells from now on; raises Unavailable."""
        names = listener.names
        with self.bells.lock:
            for name in names:
                self.bells._ears.setdefault(name, set()).add(listener)  # noqa: SLF001 - its own kind
        try:
            self._begin(listener)
        except BaseException:
            listener.close()
            raise
        return listener

    @property
    def hears(self) -> bool:
        """True while the connection is up: then it costs a listener no waiting to join."""
        return self._line is not None

    def borrow_floor(self) -> Floor | None:
        """The caller's to read on until it gives it back; None when it is not to be had."""
        floor = self._floor
        return floor if floor is not None and floor.borrow() else None

    def _begin(self, listener: RedisListener) -> None:
        with self._lock:
            self._closed = False
            waits = self._ask_for(listener)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="penstock-redis-ears", daemon=True
                )
                self._thread.start()
        for confirmed in waits:
            if not confirmed.wait(_CONFIRMED):
                raise Unavailable("the Redis server confirms no subscription")
        self.arm(listener.names)

    def _ask_for(self, listener: RedisListener) -> list[threading.Event]:
        """Subscribe to what is new and ask its questions; gives what is to be waited for."""
        self._wanted.update(listener.names)
        said = [name for name in listener.names if _is_said(name)]
        fresh = [name for name in said if name not in self._confirmed]
        self._confirmed.update((name, threading.Event()) for name in fresh)
        questions = list(listener.questions())
        self._say([*self._forgone(), *_subscriptions(fresh)], questions)
        if questions and self._line is not None:
            return []  # the reply to the last of them confirms it all
        return [self._confirmed[name] for name in said]

    def arm(self, names: Iterable[str]) -> None:
        """Have the server tell of the next change of those keys that it does not watch."""
        with self._lock:
            if self._line is None:
                return
            missing = [
                name for name in names if name.startswith("key:") and name not in self._armed
            ]
            if missing:
                self._armed.update(missing)
                self._say([], [self._look_at(name) for name in missing])

    def ask(self, questions: Sequence[Question]) -> None:
        """Ask that on the connection that hears, if it is up."""
        with self._lock:
            self._say((), questions)

    def looked(self) -> None:
        """Somebody looked and found all there was: arm what has rung since."""
        if self._have_rung:
            self._have_rung = False  # before arming: what rings from now on is seen by the next
            self.arm(list(self._wanted))

    def _look_at(self, name: str) -> Question:
        def take(reply: Any) -> None:
            if reply == 1:
                with self._lock:
                    self._changed_keys.add(name)
                self.bells.ring([name])

        return ("EXISTS", _bare(name)), take

    def was_changed(self, name: str) -> bool:
        """Whether that key may have changed since this was asked; true where nobody listens."""
        with self._lock:
            if name not in self._wanted or self._line is None:
                return True
            changed = name in self._changed_keys
            self._changed_keys.discard(name)
            return changed

    def leave(self, listener: RedisListener) -> None:
        """One listener less for its bells."""
        with self._lock:
            for name in listener.names:
                self._wanted[name] -= 1
                if self._wanted[name] <= 0:
                    del self._wanted[name]
                    if name in self._confirmed:
                        self._left.append(name)
            if self._left and (len(self._left) >= _LEFT or not listener.may_linger):
                self._say(self._forgone())

    def _forgone(self) -> list[tuple[str, ...]]:
        """What ends the subscriptions that nobody wants any more."""
        names = [name for name in self._left if name not in self._wanted]
        self._left.clear()
        for name in names:
            self._confirmed.pop(name, None)
        return _subscriptions(names, "UNSUBSCRIBE")

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

    def _say(self, commands: Iterable[Sequence[Word]], questions: Sequence[Question] = ()) -> None:
        """Send all that in one write; the commands are those that get no reply of their own."""
        import hiredis

        if self._line is None:
            return
        pack: Callable[[Any], bytes] = hiredis.pack_command
        asked = [command for command, _ in questions]
        self._answers.extend(answer for _, answer in questions)
        with contextlib.suppress(OSError):  # the reader notices, and everything begins anew
            self._line.send(b"".join([pack(tuple(words)) for words in (*commands, *asked)]))

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
            self._answers.clear()
            self._left.clear()
            said = [name for name in self._wanted if _is_said(name)]
            self._confirmed = {name: self._confirmed[name] for name in said}
            self._say([], [(words, _ignore) for words in _HELLO])
            self._say(_subscriptions(said))
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
                self._hear(line)
            with self._lock:
                self._line = None
            if line is not None:
                line.close()
            pause = 0.0 if self._served else min(_LONGEST_PAUSE, 2 * pause or 0.05)
            threading.Event().wait(random.uniform(pause / 2, pause))

    def _all_look(self, *, anew: bool) -> None:
        """What happened while the connection was lost, nobody was told."""
        with self.bells.lock:
            listeners = {each for ears in self.bells._ears.values() for each in ears}  # noqa: SLF001
        with self._lock:
            names = tuple(self._wanted)
            self._changed_keys.update(names)
            for listener in listeners:
                if isinstance(listener, RedisListener):
                    self._say((), list(listener.questions()))
        self.arm(names)
        if anew:
            self.bells.ring(names)

    def _hear(self, line: Line) -> None:
        import hiredis

        reader = hiredis.Reader(notEnoughData=_NOTHING)

        def hear(data: bytes) -> None:
            reader.feed(data)
            rung = []
            while (said := reader.gets()) is not _NOTHING:
                rung += self._told(said, isinstance(said, hiredis.PushNotification))
            if rung:
                self.bells.ring(rung)

        floor = Floor(line.sock, hear=hear, ask=self._ask_for_a_word, silence=_SILENCE)
        self._floor = floor
        try:
            floor.run()
        finally:
            self._floor = None
            floor.close()

    def _ask_for_a_word(self) -> bool:
        """After a silence; else a server that went without a word would be listened to for ever."""
        with self._lock:
            if self._wanted:
                self._say((), [(("PING",), _ignore)])
            return bool(self._wanted)

    def _told(self, said: Any, pushed: bool) -> list[str]:
        if not pushed:
            if isinstance(said, Exception):  # as while it loads its data: later it may not
                self._served = False
                raise ConnectionResetError(str(said))
            self._served = True
            self._answers.popleft()(said)
            return []
        kind = said[0]
        if kind == b"invalidate":
            return self._changed(said[1])
        name = _NAMED[kind[:1] == b"p"] + said[1].decode("utf-8", "replace")
        if kind in {b"message", b"pmessage"}:
            return [name] if self._pass_on(name, said[-1]) else []
        if kind in {b"subscribe", b"psubscribe"}:
            with self._lock:
                confirmed = self._confirmed.get(name)
            if confirmed is not None:
                anew = confirmed.is_set()
                confirmed.set()
                return [name] if anew else []  # a look before this one may have missed something
        return []

    def _pass_on(self, name: str, message: bytes) -> bool:
        with self.bells.lock:
            ears = self.bells._ears.get(name, ())  # noqa: SLF001 - its own kind
            heard = [each.tell(name, message) for each in ears if isinstance(each, RedisListener)]
        return any(heard)

    def _changed(self, keys: list[bytes] | None) -> list[str]:
        with self._lock:
            if keys is None:  # all of them: the server was flushed
                names = list(self._armed)
            else:
                names = ["key:" + key.decode("utf-8", "replace") for key in keys]
            self._armed.difference_update(names)
            self._have_rung = True
            self._changed_keys.update(name for name in names if name in self._wanted)
        return names


def _ignore(reply: Any) -> None:
    """For the reply to what was only to be said."""


_NOTHING = object()
_HELLO = (("HELLO", "3"), ("CLIENT", "TRACKING", "ON"))
_NAMED = ("channel:", "pattern:")


def _is_said(name: str) -> bool:
    """True for what is subscribed to."""
    return name.startswith(_NAMED)


def _subscriptions(names: Iterable[str], command: str = "SUBSCRIBE") -> list[tuple[str, ...]]:
    """The commands for these bells; the server tells of each when it is done."""
    commands: list[tuple[str, ...]] = []
    for kind, letter in zip(_NAMED, ("", "P"), strict=True):
        bare = [_bare(name) for name in names if name.startswith(kind)]
        starts = range(0, len(bare), _SUBSCRIBED)
        commands += [(letter + command, *bare[start : start + _SUBSCRIBED]) for start in starts]
    return commands


def _bare(name: str) -> str:
    return name.partition(":")[2]
