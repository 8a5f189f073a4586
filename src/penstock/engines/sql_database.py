"""A database as an engine, by SQLAlchemy: each exchange is one transaction.

A transaction that lost a race, or its connection, was rolled back and is run again; what is done
in one is safe to repeat. On PostgreSQL the end of a task is told by NOTIFY.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.engines.blocking import BlockingEngine
from penstock.engines.named import Named
from penstock.engines.sql_ears import Ears
from penstock.engines.sql_errors import is_of_the_tables, is_worth_repeating, translated
from penstock.engines.sql_tables import Tables, prepared
from penstock.engines.sqlite import SqliteFile
from penstock.engines.sqlite_file import check_folder, is_ours
from penstock.errors import ConfigError, Uncertain
from penstock.plan import Exchange, Listener
from penstock.url import Url

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["SqlDatabase", "Transaction"]

# What a URL says -> SQLAlchemy's driver, and the package that has it.
_DRIVERS = {
    "db+postgresql": ("postgresql+psycopg", "psycopg"),
    "db+postgresql+psycopg": ("postgresql+psycopg", "psycopg"),
    "db+mysql": ("mysql+pymysql", "pymysql"),
    "db+mysql+pymysql": ("mysql+pymysql", "pymysql"),
    "db+mariadb": ("mariadb+pymysql", "pymysql"),
    "db+mariadb+pymysql": ("mariadb+pymysql", "pymysql"),
    "db+sqlite": ("sqlite", ""),
}
_TRIES = 20  # of a transaction that loses races
_AFTER_A_LOST_RACE = 0.02  # seconds, at most
_CONNECT_TIMEOUT = 5  # seconds
_REPLY_TIMEOUT = 30
_MOST_CONNECTIONS = 16


class Transaction:
    """What an exchange works on: a connection in a transaction, and the tables."""

    def __init__(self, connection: sa.Connection, tables: Tables) -> None:
        self.connection = connection
        self.tables = tables

    @property
    def kind(self) -> str:
        """``postgresql``, ``mysql``, ``mariadb`` or ``sqlite``."""
        return self.connection.dialect.name


class SqlDatabase(BlockingEngine):
    """The engine on one database. Thread-, loop- and fork-safe; connects on first use."""

    NAME = "penstock-sql"

    def __init__(self, url: Url) -> None:
        self.url = url
        self.driver, self._package = _DRIVERS[url.scheme]
        self._engine: sa.Engine | None = None
        super().__init__()

    @classmethod
    def at(cls, url: str | Url) -> SqlDatabase:
        """The engine for a URL: one object per process, so that all its users share it."""
        return _named.at(url, cls)

    def start_afresh(self) -> None:
        super().start_afresh()
        if self._engine is not None:
            self._engine.dispose(close=False)  # its connections are the parent's
        self._engine = None
        self._tables: Tables | None = None
        self._preparing = threading.Lock()
        self._ears: Ears | None = None

    @property
    def tells(self) -> bool:
        """True when the database itself wakes who waits."""
        return self._ears is not None and self._ears.hears

    # --- exchanges -----------------------------------------------------------------------------

    def run(self, exchange: Exchange) -> Any:
        exc = self._library().exc
        lost = looked_anew = False
        for left in reversed(range(_TRIES)):
            committing = False
            try:
                engine, tables = self._prepared()
                with engine.connect() as fresh:
                    connection = fresh.execution_options(penstock_reads=not exchange.writes)
                    reply = exchange.run(Transaction(connection, tables))
                    if exchange.writes:
                        committing = True
                        connection.commit()
                    return reply
            except exc.DBAPIError as error:
                if is_worth_repeating(error) and left:
                    time.sleep(random.uniform(0.0, _AFTER_A_LOST_RACE))  # or they meet again
                    continue
                if error.connection_invalidated and not lost:
                    lost = True  # it was from before a restart, and so are the idle ones
                    continue
                if is_of_the_tables(error) and not looked_anew:
                    looked_anew, self._tables = True, None  # dropped or altered meanwhile
                    continue
                if committing and error.connection_invalidated:
                    raise Uncertain(f"the connection to {self.url} was lost in a commit") from error
                raise translated(error, self.url) from error
            except exc.TimeoutError as error:
                raise Uncertain(f"all connections to {self.url} are in use for long") from error
        raise AssertionError

    def _prepared(self) -> tuple[sa.Engine, Tables]:
        with self._preparing:
            if self._engine is None:
                self._engine = self._new_engine()
            if self._tables is None:
                self._tables = prepared(self._engine, self.url)
            return self._engine, self._tables

    def _library(self) -> Any:
        try:
            import sqlalchemy
        except ImportError as error:
            raise ConfigError(
                f"{self.url.scheme}:// needs SQLAlchemy: pip install 'penstock[sql]'"
            ) from error
        return sqlalchemy

    def _new_engine(self) -> sa.Engine:
        sa = self._library()
        options: dict[str, Any] = {"hide_parameters": True}
        if self.driver == "sqlite":
            options |= _for_a_file(self.url)
        else:
            options |= {
                "pool_size": _MOST_CONNECTIONS,
                "max_overflow": 0,
                "pool_recycle": 3600,  # MySQL closes what was idle for hours
                "isolation_level": "READ COMMITTED",
                "connect_args": {"connect_timeout": _CONNECT_TIMEOUT},
            }
            if self._package == "pymysql":
                times = {"read_timeout": _REPLY_TIMEOUT, "write_timeout": _REPLY_TIMEOUT}
                options["connect_args"] |= times
        raw = self.url.raw.partition("://")[2]
        try:
            engine: Any = sa.create_engine(f"{self.driver}://{raw}", **options)
        except ImportError as error:
            raise ConfigError(
                f"{self.url.scheme}:// needs {self._package}: pip install 'penstock[sql]'"
            ) from error
        except (sa.exc.ArgumentError, ValueError, TypeError) as error:
            raise ConfigError(f"the URL {self.url} cannot be used") from error
        if self.driver == "sqlite":
            sa.event.listen(engine, "begin", _begin_immediate)
        return engine  # type: ignore[no-any-return]

    # --- hearing -------------------------------------------------------------------------------

    def listen(self, bells: tuple[str, ...]) -> Listener:
        listener = self.bells.listen(bells)
        if self.driver == "postgresql+psycopg":
            with self._lock:
                if self._ears is None:
                    self._ears = Ears(self._psycopg(), self.bells)
                ears = self._ears
            ears.begin()
        return listener

    def _psycopg(self) -> Callable[[], Any]:
        engine, _ = self._prepared()
        args, kwargs = engine.dialect.create_connect_args(engine.url)

        def connect() -> Any:
            import psycopg

            kwargs.setdefault("connect_timeout", _CONNECT_TIMEOUT)
            return psycopg.connect(*args, **kwargs, autocommit=True)

        return connect

    def close(self) -> None:
        super().close()
        if self.bells.are_heard:  # others of this process still wait
            return
        with self._lock:
            ears, self._ears = self._ears, None
        if ears is not None:
            ears.close()
        with self._preparing:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def __repr__(self) -> str:
        return f"SqlDatabase({str(self.url)!r})"


def _for_a_file(url: Url) -> dict[str, Any]:
    """Options for a file of SQLite, if it is one that may be used."""
    from sqlalchemy.pool import NullPool

    name = url.path.removeprefix("/")
    if url.host or not name or name == ":memory:":
        raise ConfigError(
            f"{url} names no file; write db+sqlite:///name.db for one in the current folder, "
            "or db+sqlite:////folder/name.db (four slashes) for an absolute path"
        )
    path = Path(os.path.realpath(name))
    # Looked at in this order: to open and close a file drops the locks that this process has on it.
    if SqliteFile.uses(str(path)) or is_ours(path):
        raise ConfigError(
            f"{path} is a file of penstock's own engine; a second SQLite library in one process "
            "(db+sqlite goes through the standard library's) corrupts it. Name another file, or "
            f"keep results beside the messages: sqlite:///{name}"
        )
    check_folder(path)
    # No connection outlives its exchange: none may cross a fork.
    return {"poolclass": NullPool, "connect_args": {"timeout": _CONNECT_TIMEOUT}}


def _begin_immediate(connection: sa.Connection) -> None:
    """The library begins a transaction at its first write; then what it read may have changed."""
    reads = connection.get_execution_options().get("penstock_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


_named: Named[SqlDatabase] = Named()
