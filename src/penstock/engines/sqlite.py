"""One SQLite file as an engine: exchanges in, commits out, shared by broker and result store.

*Group commit.* What several threads and coroutines ask for at the same time becomes one
transaction with one fsync; each caller returns when it is on the disk. If an exchange of a batch
fails, the batch is rolled back and each is run alone, so that a bad one hurts only its caller.

*Durability by need.* A batch in which no exchange is durable is committed without an fsync: a
power loss voids leases anyway. Any later durable commit brings the earlier ones to disk with it.

*Publications are seen early.* A batch of them is committed without an fsync, seen by workers and
then synced, and only then are its callers told. A worker begins while the publisher waits for the
disk; should the power fail, nobody was told of the message, and what was settled of it would have
brought it to disk, too.

*Readers never wait for an fsync*: they have a connection and a lock of their own.

*Forks.* No connection crosses a fork: before it, running transactions end and connections close;
parent and child open new ones when they need them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.crashpoints import ARMED, reach
from penstock.engines.bell import Bells
from penstock.engines.keen import Keen
from penstock.engines.sqlite_batch import durability, finish, run
from penstock.engines.sqlite_errors import translated
from penstock.engines.sqlite_file import Location, connect
from penstock.engines.tickets import Line, Ticket
from penstock.errors import ConfigError, Uncertain
from penstock.plan import Command, Exchange, Listen, Listener
from penstock.url import Url

if TYPE_CHECKING:
    import apsw

__all__ = ["SqliteFile"]

_KEEN = 0.001  # seconds: an idle worker's answer to a call takes as long
_shared: weakref.WeakValueDictionary[str, SqliteFile] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


class SqliteFile:
    """The engine on one file. Thread-, loop- and fork-safe; opens the file on first use."""

    def __init__(self, location: Location, *, inotify: bool = True) -> None:
        self.location = location
        self._inotify = inotify
        self._users = 0
        self._start_afresh()
        _forkable.add(self)

    @classmethod
    def at(cls, url: str | Url) -> SqliteFile:
        """The engine for a URL: one object per file, so that all its users share commits."""
        location = Location.of(url)
        with _shared_lock:
            found = _shared.get(location.path)
            if found is None:
                found = _shared[location.path] = cls(location)
            elif found.location != location:
                raise ConfigError(
                    f"{location.path} is open with another durability in this process; "
                    "give both URLs the same"
                )
            found._users += 1
            return found

    @staticmethod
    def uses(path: str) -> bool:
        """True when this process has an engine on that file (its real path)."""
        with _shared_lock:
            return path in _shared

    @property
    def is_open(self) -> bool:
        """True when this process has used the file."""
        return self._reader is not None or self._writer is not None

    def _start_afresh(self) -> None:
        self._turn = threading.Lock()  # held while the writing connection is used
        self._reading = threading.Lock()  # held while the reading connection is used
        self._writer: apsw.Connection | None = None
        self._reader: apsw.Connection | None = None
        self._synchronous = ""  # what the writing connection is set to
        self._log: int | None = None  # the file beside, which commits are written to
        self._line = Line(self._carry_out)
        folder = Path(f"{self.location.path}-bell")
        self._keen = Keen(_KEEN)
        self._bells = Bells(folder, version=self.version, keen=self._keen, inotify=self._inotify)

    # --- what plans ask ------------------------------------------------------------------

    def execute(self, command: Command) -> Any:
        """Carry it out, blocking."""
        if isinstance(command, Exchange):
            return self._line.run(command) if command.writes else self._read(command)
        if isinstance(command, Listen):
            return self.listen(command.bells)
        return command.listener.wait(command.timeout)

    async def aexecute(self, command: Command) -> Any:
        """Carry it out without blocking the loop."""
        if isinstance(command, Exchange):
            return await (self._line.arun(command) if command.writes else self._aread(command))
        if isinstance(command, Listen):
            return self.listen(command.bells)
        return await _heard(command.listener, command.timeout)

    def post(self, exchange: Exchange) -> None:
        """Carry it out after everything asked for so far, with nobody waiting."""
        self._line.post(exchange)

    def listen(self, bells: tuple[str, ...]) -> Listener:
        """A listener that hears these bells from now on."""
        self.version()  # makes the file, if need be: its bells lie beside it
        return self._bells.listen(bells)

    def version(self) -> int:
        """A number that changes with each commit of any process."""
        with self._reading:
            number: int = self._open_reader().pragma("data_version")
            return number

    # --- writing -------------------------------------------------------------------------

    def _carry_out(self, batch: Sequence[Ticket]) -> None:
        with self._turn:
            try:
                connection = self._writer or self._open_writer()
                self._transact(connection, batch)
            except Exception as error:  # noqa: BLE001 - each caller gets it
                for ticket in batch:
                    if not ticket.finished:
                        ticket.fail(error)

    def _transact(self, connection: apsw.Connection, batch: Sequence[Ticket]) -> None:
        durable, early = durability(batch)
        self._synchronize(connection, durable=durable and not early)
        stage, rings = "begin", []
        try:
            connection.execute("BEGIN IMMEDIATE")
            stage = "run"
            if ARMED:
                reach("batch.open")
            rings = run(connection, batch)
            if ARMED:
                reach("batch.written")
            stage = "commit"
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - told apart there
            self._failed(connection, batch, error, stage)
            return
        except BaseException:  # Ctrl-C
            if stage == "commit" and not connection.in_transaction:  # it came after the fact
                self._conclude(batch, rings, early=early)
            else:  # nothing happened, and the batch is carried out again
                self._roll_back(connection)
            raise
        if ARMED:
            reach("batch.committed")
        self._conclude(batch, rings, early=early)
        if durable and not early:  # now, not before the next claim, which somebody waits for
            self._synchronize(connection, durable=False)

    def _conclude(self, batch: Sequence[Ticket], rings: list[str], *, early: bool) -> None:
        """Tell of what is committed.

        Interrupted before it is synced, what is seen early is carried out again: published with
        the same keys, it is there once.
        """
        if not early:
            finish(batch)
        self._bells.ring(rings)
        if early:
            self._sync()
            finish(batch)
            self._keen.rouse()

    def _failed(
        self, connection: apsw.Connection, batch: Sequence[Ticket], error: Exception, stage: str
    ) -> None:
        """One exchange may have failed for a reason of its own; anything else fails them all."""
        if stage == "commit":
            self._discard(connection)  # a new one reads what really is in the file
        else:
            self._roll_back(connection)
        told = self._told(error, committing=stage == "commit")
        if stage == "run" and len(batch) > 1:
            self._each_alone(batch)
        else:
            for ticket in batch:
                ticket.fail(told)

    def _each_alone(self, batch: Sequence[Ticket]) -> None:
        for ticket in batch:
            try:
                self._transact(self._writer or self._open_writer(), [ticket])
            except Exception as error:  # noqa: BLE001 - its caller gets it
                ticket.fail(error)

    def _sync(self) -> None:
        """Bring to disk what is committed, as SQLite does within a commit of its own.

        The log is all there is to it: a checkpoint, which moves frames out of it, syncs both.
        """
        if self.location.synchronous != "FULL":
            return
        try:
            if self._log is None:
                self._log = os.open(f"{self.location.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(self._log)
        except OSError as error:
            raise Uncertain(
                f"{self.location.path}: committed, but the disk did not confirm it: "
                f"{error.strerror}"
            ) from error

    def _roll_back(self, connection: apsw.Connection) -> None:
        """End the transaction, if SQLite has not."""
        import apsw

        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except apsw.Error:  # closing rolls back, too
                self._discard(connection)

    def _discard(self, connection: apsw.Connection) -> None:
        self._writer = None
        connection.close(True)

    def _synchronize(self, connection: apsw.Connection, *, durable: bool) -> None:
        wish = self.location.synchronous if durable else "NORMAL"
        if wish != self._synchronous:  # a switch costs 1 us
            self._synchronous = ""  # who is interrupted in the next line does not know
            connection.execute(f"PRAGMA synchronous = {wish}")
            self._synchronous = wish

    def _told(self, error: Exception, *, committing: bool = False) -> Exception:
        import apsw

        if isinstance(error, apsw.Error):
            told = translated(error, self.location.path, committing=committing)
            told.__cause__ = error
            return told
        return error

    # --- reading -------------------------------------------------------------------------

    def _read(self, exchange: Exchange) -> Any:
        with self._reading:
            return self._look(exchange)

    async def _aread(self, exchange: Exchange) -> Any:
        # Reads of a few rows take less time than a change of threads; only the lock may be long.
        if self._reading.acquire(blocking=False):
            try:
                return self._look(exchange)
            finally:
                self._reading.release()
        import asyncio

        return await asyncio.to_thread(self._read, exchange)

    def _look(self, exchange: Exchange) -> Any:
        connection = self._open_reader()
        try:
            if exchange.lone:
                return exchange.run(connection)
            try:
                connection.execute("BEGIN")  # one state of the file for all its statements
                return exchange.run(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except Exception as error:
            told = self._told(error)
            if told is error:
                raise
            raise told from error

    # --- opening and closing -------------------------------------------------------------

    def _open_writer(self) -> apsw.Connection:
        self._writer = connect(self.location, writes=True)
        self._synchronous = self.location.synchronous
        return self._writer

    def _open_reader(self) -> apsw.Connection:
        if self._reader is None:
            self._reader = connect(self.location, writes=False)
        return self._reader

    def close(self) -> None:
        """One user less; with the last one the file is closed. Using it again opens it again."""
        with _shared_lock:
            self._users -= 1
            last = self._users <= 0
        if last:
            with self._turn, self._reading:
                self._disconnect()
            self._line.close()

    def reconnect(self) -> None:
        """Close the connections between two exchanges; the next use opens new ones."""
        with self._turn, self._reading:
            self._disconnect()

    def _disconnect(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None
        if self._log is not None:
            os.close(self._log)
            self._log = None
        self._bells.close()

    def before_fork(self) -> None:
        """Wait for what runs, then keep everybody out until the fork is over."""
        self._turn.acquire()
        self._reading.acquire()
        self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Let everybody in again."""
        self._reading.release()
        self._turn.release()

    def after_fork_in_child(self) -> None:
        """The locks, the tickets and the listeners were the parent's."""
        self._bells.forget()
        self._start_afresh()

    def __repr__(self) -> str:
        return f"SqliteFile({self.location.path!r})"


async def _heard(listener: Listener, timeout: float | None) -> bool:
    import asyncio

    loop = asyncio.get_running_loop()
    rang = asyncio.Event()
    loop.add_reader(listener.fileno(), rang.set)
    try:
        async with asyncio.timeout(timeout):
            await rang.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(listener.fileno())
    listener.clear()
    return True


# --- forks: hooks cannot be taken back, so one set serves every engine --------------------------

_forkable: weakref.WeakSet[SqliteFile] = weakref.WeakSet()
_forking: list[SqliteFile] = []


def _before_fork() -> None:
    _shared_lock.acquire()
    for file in list(_forkable):
        file.before_fork()
        _forking.append(file)


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop().after_fork_in_parent()
    _shared_lock.release()


def _after_fork_in_child() -> None:
    while _forking:
        _forking.pop().after_fork_in_child()
    _shared_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
