"""Hearing from a PostgreSQL server: one connection and one thread for all who listen.

A bell is ``work:<queue>``, ``done:<task id>`` or ``control``; before the colon stands the channel.
The connection listens to a channel for as long as somebody wants it, and some seconds longer.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from penstock.engines.floor import Attention, read_a_while
from penstock.engines.keen import NEVER, Keen
from penstock.engines.memory_bells import BellListener, Bells
from penstock.engines.postgres_floor import Floor
from penstock.errors import PenstockError, Unavailable

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["ALL", "Ears"]

ALL = "*"  # told instead of names that are too many
_LINGER = 10.0  # seconds that a connection is kept with nobody listening
_LONGEST_PAUSE = 1.0  # seconds between two attempts to connect again
_CONFIRMED = 10.0  # seconds that the server may take


class PostgresListener(BellListener):
    """Hears some bells; who waits for one reads the connection itself for a while."""

    def __init__(self, names: tuple[str, ...], ears: Ears) -> None:
        super().__init__(names, ears.bells)
        self._ears = ears

    def wait(self, timeout: float | None) -> bool:
        borrow = self._ears.borrow_floor
        return super().wait(read_a_while(borrow, self._reader, timeout, self._ears.keen))

    def close(self) -> None:
        closed = self._reader < 0
        super().close()
        if not closed:
            self._ears.leave(self.names)


class WorkListener(PostgresListener):
    """Hears that there may be work, for a loop that may read the connection itself."""

    def __init__(self, names: tuple[str, ...], ears: Ears) -> None:
        super().__init__(names, ears)
        self._attention = Attention(self._reader, ears.borrow_floor)

    def fileno(self) -> int:
        return self._attention.fileno()

    def attend(self) -> None:
        self._attention.begin()

    def attended(self, *, ready: bool) -> bool:
        self._attention.end(ready=ready)
        return self._rung

    def close(self) -> None:
        super().close()
        self._attention.close()


class Ears:
    """The connection that hears. ``connect`` gives a new one, ``channel`` the name of a kind."""

    def __init__(
        self,
        connect: Callable[[], Connection[Any]],
        channel: Callable[[str], str],
        keen: Keen = NEVER,
    ) -> None:
        self.bells = Bells()
        self.keen = keen
        self._connect = connect
        self._channel = channel
        self._change = threading.Condition()
        # The rest is guarded by it.
        self._wanted: Counter[str] = Counter()  # listeners of each kind
        self._heard: set[str] = set()  # kinds that the connection listens to
        self._failure: PenstockError | None = None  # of the last attempt to connect
        self._wake: int | None = None  # makes the thread look
        self._thread: threading.Thread | None = None
        self._closed = False
        self._connection: Connection[Any] | None = None  # the thread's
        self._floor: Floor | None = None

    def forsake(self) -> Connection[Any] | None:
        """In a forked child: the listeners were the parent's, and so is this connection."""
        self.bells.forsake()
        self._floor = None
        return self._connection

    def borrow_floor(self) -> Floor | None:
        """The caller's to read on until it gives it back; None when it is not to be had."""
        floor = self._floor
        return floor if floor is not None and floor.borrow() else None

    def listen(self, names: tuple[str, ...]) -> BellListener:
        """A listener for these bells, from now on; raises Unavailable, or ConfigError."""
        for_work = any(_kind(name) == "work" for name in names)
        listener = (WorkListener if for_work else PostgresListener)(names, self)
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
        kinds = {_kind(name) for name in names}
        with self._change:
            self._wanted.update(map(_kind, names))
            if kinds <= self._heard:
                return
            self._failure = None
            self._start()
            self._change.wait_for(lambda: kinds <= self._heard or self._failure, _CONFIRMED)
            if not kinds <= self._heard:
                raise self._reason()

    def _reason(self) -> PenstockError:
        return self._failure or Unavailable("the PostgreSQL server confirms no LISTEN")

    def _start(self) -> None:
        self._closed = False
        if self._thread is None:
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._thread = threading.Thread(
                target=self._run, args=(self._wake,), name="penstock-postgres-ears", daemon=True
            )
            self._thread.start()
        else:
            self._nudge()

    def _nudge(self) -> None:
        if self._wake is not None:
            os.eventfd_write(self._wake, 1)

    def hears(self, kind: str) -> bool:
        """True when the connection listens to this kind already."""
        return kind in self._heard

    def leave(self, names: tuple[str, ...]) -> None:
        """One listener less for these."""
        with self._change:
            self._wanted.subtract(map(_kind, names))

    def close(self) -> None:
        """Hear nothing more; the thread ends."""
        with self._change:
            self._closed = True
            self._nudge()

    # --- the thread ----------------------------------------------------------------------

    def _run(self, wake: int) -> None:
        try:
            self._live(wake)
        finally:
            os.close(wake)

    def _live(self, wake: int) -> None:
        pause, before = 0.0, False
        while self._goes_on():
            try:
                connection = self._connect()
            except PenstockError as error:
                pause = min(_LONGEST_PAUSE, 2 * pause or 0.05)
                with self._change:
                    self._failure = error
                    self._change.notify_all()
                select.select([wake], [], [], random.uniform(pause / 2, pause))
                continue
            pause, self._connection = 0.0, connection
            try:
                self._hear(connection, wake, anew=before)
            except Exception:  # noqa: BLE001 - whatever it was: the connection is made anew
                pause = 0.05
            finally:
                before, self._connection = True, None
                with self._change:
                    self._heard.clear()
                with contextlib.suppress(Exception):
                    connection.close()

    def _goes_on(self) -> bool:
        with self._change:
            if self._closed or not any(count > 0 for count in self._wanted.values()):
                self._thread = self._wake = None
                return False
            return True

    def _hear(self, connection: Connection[Any], wake: int, *, anew: bool) -> None:
        connection.add_notify_handler(lambda notify: self._told(notify.channel, notify.payload))
        self._floor = floor = Floor(connection, wake=wake, hear=self._hear_all)
        try:
            while self._tune(connection, floor):
                if anew:  # what happened while it was lost, nobody was told
                    self._ring_all(lambda _: True)
                    anew = False
                if not floor.sleep(_LINGER) and not self._is_wanted():
                    return
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(wake)
                floor.read()
        finally:
            self._floor = None
            floor.close()

    def _hear_all(self, told: Iterable[tuple[str, str]]) -> None:
        for channel, words in told:
            self._told(channel, words)

    def _is_wanted(self) -> bool:
        with self._change:
            return any(count > 0 for count in self._wanted.values())

    def _tune(self, connection: Connection[Any], floor: Floor) -> bool:
        """Listen to what is wanted; False when nobody is there any more."""
        with self._change:
            if self._closed:
                return False
            missing = {kind for kind, count in self._wanted.items() if count > 0} - self._heard
        for kind in missing:
            with floor.alone():
                connection.execute(f'LISTEN "{self._channel(kind)}"'.encode())
        if missing:
            with self._change:
                self._heard |= missing
                self._change.notify_all()
        return True

    def _told(self, channel: str, told: str) -> None:
        kind = channel.rpartition("_")[2]
        if told == ALL:
            self._ring_all(lambda name: _kind(name) == kind)
        else:
            self.bells.ring([f"{kind}:{name}" for name in told.split("\n")] if told else [kind])

    def _ring_all(self, wanted: Callable[[str], bool]) -> None:
        self.bells.ring([name for name in list(self.bells._ears) if wanted(name)])  # noqa: SLF001


def _kind(name: str) -> str:
    return name.partition(":")[0]
