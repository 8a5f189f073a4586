"""A Redis server as an engine: exchanges in, one write and one read each, shared by its users.

Repeating a command whose reply was lost is the plans' business: the client library repeats
nothing. What was surely not done raises Unavailable; where the reply is lost, Uncertain.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from penstock.crashpoints import tear
from penstock.engines.memory_bells import ahear
from penstock.engines.pending import resolved
from penstock.engines.redis_batch import Batch, Script, Word
from penstock.engines.redis_ears import Ears
from penstock.engines.redis_ends import Ends, EndsListener
from penstock.engines.redis_errors import is_elsewhere, refused, unreachable
from penstock.engines.redis_line import Line
from penstock.engines.redis_listeners import HeedingListener, RedisListener
from penstock.engines.redis_options import in_its_words
from penstock.engines.redis_sentinel import SENTINEL_SCHEMES, behind_sentinels, master_and_database
from penstock.engines.tickets import Line as Turns
from penstock.engines.tickets import Ticket
from penstock.errors import ConfigError, Unavailable, Uncertain
from penstock.plan import Command, Exchange, Listen
from penstock.url import Url

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["SCHEMES", "RedisServer"]

SCHEMES = ("redis", "rediss", "unix", "redis+socket", *SENTINEL_SCHEMES)
_OURS = {"key_prefix", "global_keyprefix", "allow_eviction", "visibility_timeout"}  # options
_CONNECT_TIMEOUT = 2.0  # seconds for each step until a connection can be used
_REPLY_TIMEOUT = 5.0  # seconds without a byte of the reply
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}  # where the system has it
_THREADS = 8  # for awaiting callers


class RedisServer:
    """The engine on one database of one server. Thread-, loop- and fork-safe."""

    def __init__(self, url: Url) -> None:
        self.url = url
        self.prefix = url.options.get("key_prefix", url.options.get("global_keyprefix", ""))
        self.database, self.server = _where(url)
        self.greeting: tuple[Script, *tuple[Word, ...]] | None = None
        """A script that is run first on each connection, with its arguments."""
        self.connected = 0
        """How often a connection was made; what was known of the server may be over then."""
        self._start_afresh()
        _engines.add(self)

    @classmethod
    def at(cls, url: str | Url) -> RedisServer:
        """The engine for a URL: one object per process, so that all its users share it."""
        address = Url.parse(url)
        with _naming:
            engine = _named.get(address.raw)
            if engine is None:
                engine = _named[address.raw] = cls(address)
            return engine

    def _start_afresh(self) -> None:
        self._pool: Any = None  # the library's, which knows how to connect
        self._patience = _REPLY_TIMEOUT
        self._free: list[Line] = []
        self._is_away = self._is_parting = False
        self._lock = threading.Lock()
        self._executor: Executor | None = None
        self._turns = Turns(self._carry_out, gathers=False)
        self._ears = Ears(self._new_line)

    def start_afresh_in_child(self) -> None:
        """A forked child has connections, threads and listeners of its own."""
        self._ears.bells.forsake()
        self._start_afresh()

    # --- exchanges ---------------------------------------------------------------------------

    def execute(self, command: Command) -> Any:
        """Carry it out, blocking."""
        if isinstance(command, Exchange):
            return self._turns.run(command)
        if isinstance(command, Listen):
            return self._listen(command)
        return command.listener.wait(command.timeout)

    def _listen(self, command: Listen) -> RedisListener:
        if isinstance(command, Ends):
            return self._ears.join(EndsListener(self._ears, self.prefix, command))
        return self._ears.listen(command.bells)

    async def aexecute(self, command: Command) -> Any:
        """Carry it out on a thread, for the client library blocks; a wait takes none."""
        if isinstance(command, Exchange):
            return await self._turns.arun(command)
        if isinstance(command, Ends) and self._ears.hears:
            return self._listen(command)
        if isinstance(command, Listen):
            import asyncio

            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads(), self.execute, command)
        return await ahear(command.listener, command.timeout)

    def was_changed(self, key: str) -> bool:
        """Whether a key may have changed since this was asked last, as far as listeners know."""
        return self._ears.was_changed(f"key:{key}")

    @property
    def hears(self) -> bool:
        """True while the connection that hears is up: listening costs no waiting then."""
        return self._ears.hears

    def looked(self) -> None:
        """Who listens for work has found all there was: let the server tell of what comes."""
        self._ears.looked()

    def heed(self, bells: tuple[str, ...]) -> HeedingListener:
        """A listener that keeps what is said in its channels; raises Unavailable."""
        return self._ears.heed(bells)

    def post(self, exchange: Exchange) -> None:
        """Have it carried out soon, by another thread; what goes wrong is nobody's business."""
        self._threads().submit(self._carry_out, [Ticket(exchange)])  # nobody waits in line for it

    def _threads(self) -> Executor:
        with self._lock:
            if self._executor is None:
                from concurrent.futures import ThreadPoolExecutor

                self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="penstock-redis")
            return self._executor

    def _carry_out(self, tickets: Sequence[Ticket]) -> None:
        """Exchanges that were asked for together, in one write and one read."""
        asked = [(ticket, Batch()) for ticket in tickets]
        values = {ticket: _filled(ticket, batch) for ticket, batch in asked}
        asked = [(ticket, batch) for ticket, batch in asked if not ticket.finished]
        try:
            replies = self._replies([batch for _, batch in asked])
        except (Unavailable, Uncertain, ConfigError) as error:
            for ticket, _ in asked:  # an error of its own for each: they are raised in many threads
                ticket.fail(_like(error))
            return
        except BaseException:  # Ctrl-C in the middle: who leads is told so, the others of the doubt
            for ticket, _ in asked:
                ticket.fail(Uncertain(f"Redis at {self.url} was asked, its reply not heard"))
            raise
        for (ticket, batch), told in zip(asked, replies, strict=True):
            self._answer(ticket, values[ticket], told, batch.refusal(told))

    def _answer(
        self, ticket: Ticket, value: Any, replies: list[Any], wrong: Exception | None
    ) -> None:
        if wrong is not None:
            if is_elsewhere(wrong):
                self._part()
            error = refused(wrong, self.url)
            error.__cause__ = wrong
            ticket.fail(error)
            return
        try:
            ticket.reply = resolved(value, replies)
            ticket.finished = True
        except Exception as error:  # noqa: BLE001 - whatever it is, its owner is to have it
            ticket.fail(error)

    def _replies(self, batches: list[Batch]) -> list[list[Any]]:
        if not any(batch.commands for batch in batches):
            return [[] for _ in batches]
        line = self._borrow()
        import hiredis

        pack: Callable[[Any], bytes] = hiredis.pack_command
        try:
            packed = [pack(words) for batch in batches for words in batch.words(line.known)]
            words = self._greeted(line) + b"".join(packed)
            tear("pipeline.torn", line.send, words)
            line.send(words)
            replies = [[line.reply() for _ in batch.commands] for batch in batches]
            for batch, told in zip(batches, replies, strict=True):
                for place in batch.scripts:
                    if _is_unknown_script(told[place]):  # they were flushed: it comes last, once
                        line.send(pack(batch.in_full(place)))
                        told[place] = line.reply()
        except OSError as error:
            line.close()
            self._is_away = True
            raise Uncertain(
                f"the connection to Redis at {self.url} was lost before it replied: {_said(error)}"
            ) from error
        except BaseException:
            line.close()
            raise
        self._free.append(line)
        return replies

    def _greeted(self, line: Line) -> bytes:
        """What goes before a connection's first command; what it replies is of no interest."""
        if line.greeted or self.greeting is None:
            return b""
        import hiredis

        script, *words = self.greeting
        line.greeted = True
        line.skip = 1
        pack: Callable[[Any], bytes] = hiredis.pack_command
        return pack(("EVAL", script.source, 0, *words))

    def _part(self) -> None:
        """This server is a replica now, or cannot serve yet: look anew where the right one is."""
        free, self._free = self._free, []
        for line in free:
            line.close()
        self._ears.connect_anew()

    # --- connections -------------------------------------------------------------------------

    def _borrow(self) -> Line:
        while True:
            try:
                line = self._free.pop()
            except IndexError:
                break
            if line.is_quiet:
                return line
            line.close()
        if self._is_parting and self._is_away:
            raise Unavailable(f"Redis at {self.url} is away, and this process is ending")
        return self._new_line()

    def _new_line(self) -> Line:
        """A connection of its own for the caller; raises Unavailable, or ConfigError."""
        pool = self._connections()  # says what is missing where the library is
        import redis

        try:
            connection = pool.connection_class(**pool.connection_kwargs)
        except (TypeError, ValueError, redis.RedisError) as error:  # an option it does not have
            raise ConfigError(f"the URL {self.url} cannot be used: {error}") from error
        try:
            connection.connect()
        except (redis.AuthenticationError, redis.ResponseError, redis.BusyLoadingError) as error:
            raise refused(error, self.url) from error
        except (redis.RedisError, OSError) as error:
            self._is_away = True
            raise unreachable(error, self.url) from error
        self._is_away = False
        self.connected += 1
        connection._sock.settimeout(self._patience)  # noqa: SLF001 - it had less while it connected
        return Line(connection)

    def _connections(self) -> Any:
        with self._lock:
            if self._pool is None:
                self._pool = _pool(self.url)
                kwargs = self._pool.connection_kwargs
                self._patience = kwargs["socket_timeout"]
                kwargs["socket_timeout"] = kwargs["socket_connect_timeout"]
            return self._pool

    def close(self) -> None:
        """Give connections and threads up; they are made again when needed."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
        self._turns.close()
        if not self._ears.bells._ears:  # noqa: SLF001 - others may still listen
            self._ears.close()
        self._hang_up()
        self._is_parting = False

    def part(self) -> None:
        """Only last words follow: once the server is known to be away, the rest is not said.

        Else a server that hangs would be waited for with each of them.
        """
        self._is_parting = True

    def reconnect(self) -> None:
        """Drop every connection that is not in use just now, and the one that hears."""
        self._hang_up()
        self._ears.reconnect()

    def _hang_up(self) -> None:
        free, self._free = self._free, []
        for line in free:
            line.close()

    def __repr__(self) -> str:
        return f"RedisServer({str(self.url)!r})"


def _where(url: Url) -> tuple[int, tuple[Any, ...]]:
    """The database's number, and what tells this server from others."""
    path = "" if url.scheme in {"unix", "redis+socket"} else url.path.strip("/")
    if url.scheme in SENTINEL_SCHEMES:
        master, path = master_and_database(url)
    number = url.options.get("db", url.options.get("virtual_host", path)) or "0"
    try:
        database = int(number)
    except ValueError:
        raise ConfigError(
            f"a Redis database is named by a number, as in redis://host:6379/0, not {number!r}"
        ) from None
    if url.scheme in {"unix", "redis+socket"}:
        return database, (url.path,)
    if url.scheme in SENTINEL_SCHEMES:
        return database, (master, *sorted(url.servers(26379)))
    return database, (url.host or "localhost", url.port or 6379)


def _pool(url: Url) -> Any:
    try:
        import hiredis  # noqa: F401 - replies are read by it
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise ConfigError(
            f"{url.scheme}:// needs redis-py and hiredis: pip install 'penstock[redis]'"
        ) from error
    raw = url.raw.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
    options = {
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": _REPLY_TIMEOUT,
        "socket_connect_timeout": _CONNECT_TIMEOUT,
        **({} if url.scheme in {"unix", "redis+socket"} else _kept_alive()),
        "protocol": 2,
        "health_check_interval": 0,
    }
    try:
        if url.scheme in SENTINEL_SCHEMES:
            pool = behind_sentinels(url, options)
        else:
            pool = redis.ConnectionPool.from_url(raw, **options)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the URL {url} cannot be used: {error}") from error
    pool.connection_kwargs = in_its_words(pool.connection_kwargs)
    for option in _OURS:
        pool.connection_kwargs.pop(option, None)
    return pool


def _kept_alive() -> dict[str, Any]:
    """A line that is cut without a word is found out in a dozen seconds."""
    options = {
        getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
    }
    return {"socket_keepalive": True, "socket_keepalive_options": options}


def _filled(ticket: Ticket, batch: Batch) -> Any:
    """What the exchange asks for, with its commands in the batch."""
    try:
        return ticket.exchange.run(batch)
    except Exception as error:  # noqa: BLE001 - its owner is to have it, the others go on
        ticket.fail(error)
        return None


def _like(error: Exception) -> Exception:
    """The same error once more."""
    again = type(error)(str(error))
    again.__cause__ = error.__cause__
    return again


def _is_unknown_script(reply: Any) -> bool:
    return isinstance(reply, Exception) and str(reply).startswith("NOSCRIPT")


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


_engines: weakref.WeakSet[RedisServer] = weakref.WeakSet()
_named: weakref.WeakValueDictionary[str, RedisServer] = weakref.WeakValueDictionary()
_naming = threading.Lock()


def _after_fork() -> None:
    global _naming  # noqa: PLW0603 - another thread of the parent may have held it
    _naming = threading.Lock()
    for engine in list(_engines):
        engine.start_afresh_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
