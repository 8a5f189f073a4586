"""A PostgreSQL server as an engine: exchanges in, each one transaction and one round trip.

Connections are this engine's own, a few for each process, and set up for it: plans go by indexes
whatever the statistics say, for a table that was analysed while it was empty would be read from
end to end. Bells are rung behind the commit: NOTIFY within it holds a lock of the whole database.

Nothing is repeated here but a transaction that another one was in the way of. What was surely not
done raises Unavailable; where the reply is lost, Uncertain.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from penstock.engines import postgres_schema
from penstock.engines.keen import Keen
from penstock.engines.memory_bells import ahear
from penstock.engines.named import Named
from penstock.engines.pending import resolved
from penstock.engines.postgres_batch import Batch
from penstock.engines.postgres_ears import ALL, Ears
from penstock.engines.postgres_errors import InTheWay, NoSuchTable, unreachable
from penstock.engines.postgres_line import Line, Ring
from penstock.errors import ConfigError, Unavailable, Uncertain
from penstock.plan import Command, Exchange, Listen, Listener
from penstock.url import Url

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from psycopg import Connection

__all__ = ["PostgresServer"]

_OURS = {"schema", "pool_size"}  # options of the URL that are not libpq's
_CONNECT_TIMEOUT = 5  # seconds
_REPLY_TIMEOUT = 60.0
_POOL = 10  # connections of one process, beside the one that listens
_KEEN = 0.002  # seconds: an idle worker's answer to a call takes as long
_THREADS = 8  # for awaiting callers
_ATTEMPTS = 4  # at a transaction that others were in the way of
_MOST_TOLD = 7_900  # bytes of one notification

_DEFAULTS = {
    "application_name": "penstock",
    "connect_timeout": _CONNECT_TIMEOUT,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "client_encoding": "UTF8",
}
_SET_UP = """
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_mergejoin = off;
SET enable_sort = off; SET jit = off; SET plan_cache_mode = force_generic_plan;
SET timezone = 'UTC'; SET extra_float_digits = 1; SET idle_in_transaction_session_timeout = 0
"""


class PostgresServer:
    """The engine on one schema of one database. Thread-, loop- and fork-safe."""

    def __init__(self, url: Url) -> None:
        self.url = url
        self.schema = url.options.get("schema") or "penstock"
        self.administration = postgres_schema.Schema(self.connect, self.schema, url)
        self._size = _pool_size(url)
        self._start_afresh()
        _engines.add(self)

    @classmethod
    def at(cls, url: str | Url) -> PostgresServer:
        """The engine for a URL: one object per process, so that all its users share it."""
        return _named.at(url, cls)

    def _start_afresh(self) -> None:
        self._parameters: dict[str, Any] | None = None
        self._free: list[Line] = []
        self._lock = threading.Lock()
        self._room = threading.Semaphore(self._size)
        self._ready = False  # the schema has been looked at
        self._executor: Executor | None = None
        self._flying: dict[int, Future[Any]] = {}  # what threads carry out for awaiting callers
        self._keen = Keen(_KEEN)
        self._ears = Ears(self.connect, self.channel, self._keen)

    def start_afresh_in_child(self) -> None:
        """A forked child has connections, threads and listeners of its own."""
        connection = self._ears.forsake()
        mine: Any
        for mine in [*self._free, *([] if connection is None else [connection])]:
            _forsaken.append(mine)  # ending it would end the parent's session
            with contextlib.suppress(Exception):
                os.close(mine.fileno())
        self._start_afresh()

    @property
    def is_open(self) -> bool:
        """True when this process has used the server."""
        return self._ready

    @property
    def place(self) -> tuple[Any, ...]:
        """What tells this schema of this database from others."""
        wanted = self.parameters()
        return (*(wanted.get(name) for name in ("host", "hostaddr", "port", "dbname")), self.schema)

    def channel(self, kind: str) -> str:
        """The name under which the server tells of one kind of bell."""
        return f"{self.schema.replace(chr(34), '')[:50]}_{kind}"

    # --- exchanges -----------------------------------------------------------------------

    def execute(self, command: Command) -> Any:
        """Carry it out, blocking."""
        if isinstance(command, Exchange):
            return self._run(command)
        if isinstance(command, Listen):
            return self.listen(command.bells)
        return command.listener.wait(command.timeout)

    async def aexecute(self, command: Command) -> Any:
        """Carry it out on a thread; a wait takes none."""
        if isinstance(command, Exchange | Listen):
            import asyncio

            future = self._threads().submit(self.execute, command)
            self._flying[id(command)] = future
            future.add_done_callback(lambda _: self._flying.pop(id(command), None))
            return await asyncio.wrap_future(future)
        return await ahear(command.listener, command.timeout)

    def listen(self, bells: tuple[str, ...]) -> Listener:
        """A listener that hears these bells from now on."""
        return self._ears.listen(tuple(map(_plain, bells)))

    def hears(self, kind: str) -> bool:
        """True when a listener for this kind of bell costs no round trip."""
        return self._ears.hears(kind)

    def post(self, exchange: Exchange, *, after: Command) -> None:
        """Have it carried out soon, once ``after`` is over, should a thread be at it just now.

        What goes wrong is nobody's business.
        """

        def run(_: object = None) -> None:
            with contextlib.suppress(Unavailable, Uncertain):
                self._run(exchange)

        flight = self._flying.get(id(after))
        if flight is None:
            self._threads().submit(run)
        else:
            flight.add_done_callback(run)

    def _threads(self) -> Executor:
        with self._lock:
            if self._executor is None:
                from concurrent.futures import ThreadPoolExecutor

                self._executor = ThreadPoolExecutor(
                    _THREADS, thread_name_prefix="penstock-postgres"
                )
            return self._executor

    def _run(self, exchange: Exchange) -> Any:
        batch = Batch()
        value = exchange.run(batch)
        rings = self.rings(exchange.rings) if exchange.rings else ()
        durable = exchange.durable or not exchange.writes  # a read commits nothing
        for attempt in range(_ATTEMPTS):
            line = self._borrow()
            try:
                replies = line.run(batch, durable=durable, rings=rings, early=exchange.seen_early)
                self._free.append(line)
            except InTheWay:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            except NoSuchTable:
                self._ready = False  # a schema that was dropped may be made anew
                raise
            finally:
                self._room.release()
            if exchange.seen_early:
                self._keen.rouse()
            return resolved(value, replies)
        raise AssertionError  # the last attempt raises or returns

    def rings(self, bells: Iterable[str]) -> list[Ring]:
        """What to tell, in as few notifications as they fit into."""
        kinds: dict[str, list[str]] = {}
        for bell in dict.fromkeys(bells):
            kind, _, name = _plain(bell).partition(":")
            kinds.setdefault(kind, []).append(name)
        return [ring for kind, names in kinds.items() for ring in self._told(kind, names)]

    def _told(self, kind: str, names: list[str]) -> list[Ring]:
        channel, told = self.channel(kind), "\n".join(names)
        if len(told.encode()) > 4 * _MOST_TOLD or any("\n" in name for name in names):
            return [(channel, ALL)]
        parts: list[Ring] = []
        part: list[str] = []
        size = 0
        for name in names:
            length = len(name.encode()) + 1
            if size + length > _MOST_TOLD:
                parts.append((channel, "\n".join(part) or ALL))
                part, size = [], 0
            part.append(name)
            size += length
        if size > _MOST_TOLD:
            return [(channel, ALL)]
        return [*parts, (channel, "\n".join(part))]

    # --- connections ---------------------------------------------------------------------

    def _borrow(self) -> Line:
        if not self._room.acquire(timeout=_REPLY_TIMEOUT):
            raise Unavailable(
                f"all {self._size} connections of this process to PostgreSQL at {self.url} are in "
                "use: give the URL a larger ?pool_size="
            )
        try:
            while True:
                try:
                    line = self._free.pop()
                except IndexError:
                    return self._new_line()
                if line.is_quiet:
                    return line
                line.close()
        except BaseException:
            self._room.release()
            raise

    def _new_line(self) -> Line:
        connection = self.connect()
        try:
            if not self._ready:
                postgres_schema.ensure(connection, self.schema, self.url)
                self._ready = True
        except BaseException:
            connection.close()
            raise
        return Line(connection, schema=self.schema, where=self.url, timeout=_REPLY_TIMEOUT)

    def ensure(self) -> None:
        """Have the schema there."""
        if not self._ready:
            line = self._borrow()
            try:
                self._free.append(line)
            finally:
                self._room.release()

    def connect(self) -> Connection[Any]:
        """A connection of its own for the caller; raises Unavailable, or ConfigError."""
        wanted = self.parameters()
        import psycopg

        try:
            connection = psycopg.connect(autocommit=True, prepare_threshold=None, **wanted)
        except psycopg.Error as error:
            raise unreachable(str(error), self.url) from error
        try:
            connection.execute(_SET_UP)
        except psycopg.Error as error:
            connection.close()
            raise unreachable(str(error), self.url) from error
        return connection

    def parameters(self) -> dict[str, Any]:
        """What the client library is told of where to connect."""
        if self._parameters is None:
            self._parameters = _DEFAULTS | _parameters(self.url)
        return self._parameters

    def close(self) -> None:
        """Give connections and threads up; they are made again when needed."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
        if not self._ears.bells._ears:  # noqa: SLF001 - others may still listen
            self._ears.close()
        self.reconnect()

    def reconnect(self) -> None:
        """Drop every connection that is not in use just now."""
        free, self._free = self._free, []
        for line in free:
            line.close()

    def __repr__(self) -> str:
        return f"PostgresServer({str(self.url)!r})"


def _parameters(url: Url) -> dict[str, Any]:
    try:
        import psycopg
    except ImportError as error:
        raise ConfigError(
            f"{url.scheme}:// needs psycopg: pip install 'penstock[postgres]'"
        ) from error
    where, _, query = url.raw.partition("?")
    kept = [(n, v) for n, v in parse_qsl(query, keep_blank_values=True) if n not in _OURS]
    text = f"{where}?{urlencode(kept, quote_via=quote)}" if kept else where
    try:
        return psycopg.conninfo.conninfo_to_dict(text)
    except psycopg.Error as error:  # its text may quote the password
        raise ConfigError(
            f"the URL {url} cannot be used: libpq knows no such option, or it is written wrong"
        ) from error


def _pool_size(url: Url) -> int:
    told = url.options.get("pool_size", str(_POOL))
    if not told.isdecimal() or not int(told):
        raise ConfigError(f"pool_size of {url} is a number of connections, not {told!r}")
    return int(told)


def _plain(name: str) -> str:
    """A bell's name as it can be told: a NUL has no place in it."""
    return name.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


_engines: weakref.WeakSet[PostgresServer] = weakref.WeakSet()
_named: Named[PostgresServer] = Named()
_forsaken: list[Any] = []


def _after_fork() -> None:
    for engine in list(_engines):
        engine.start_afresh_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
