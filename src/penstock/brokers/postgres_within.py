"""Publishing within a transaction of the caller's, on the caller's own connection.

psycopg's connections are taken, and SQLAlchemy's connections and sessions with any driver, blocking
and awaiting. They are told apart by where their class comes from: neither library is imported here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from penstock.brokers.postgres_statements import SQL, message_values
from penstock.engines.postgres import PostgresServer
from penstock.engines.postgres_batch import in_schema
from penstock.engines.postgres_errors import refused
from penstock.errors import ConfigError
from penstock.message import Message

__all__ = ["apublish_within", "publish_within"]

_NAME = re.compile(r"(?<![:\w]):([a-z_]\w*)")

Execute = Callable[[str, dict[str, Any]], Any]


def publish_within(
    engine: PostgresServer, connection: Any, messages: Sequence[Message], now: float
) -> None:
    """Store messages when the connection's transaction commits; raises ConfigError."""
    execute, awaits = _executing(connection)
    if awaits:
        raise ConfigError(
            f"{_name(connection)} is for coroutines: `await task.adelay_in(connection, ...)`"
        )
    _check(engine, connection)
    engine.ensure()
    try:
        for sql, values in _statements(engine, messages, now):
            execute(sql, values)
    except Exception as error:
        raise _told(error, engine) from error


async def apublish_within(
    engine: PostgresServer, connection: Any, messages: Sequence[Message], now: float
) -> None:
    """Awaiting twin of :func:`publish_within`; a connection that blocks is used on a thread."""
    execute, awaits = _executing(connection)
    if not awaits:
        return await asyncio.to_thread(publish_within, engine, connection, messages, now)
    _check(engine, connection)
    await asyncio.to_thread(engine.ensure)
    call: Callable[[str, dict[str, Any]], Awaitable[Any]] = execute
    try:
        for sql, values in _statements(engine, messages, now):
            await call(sql, values)
    except Exception as error:
        raise _told(error, engine) from error
    return None


def _executing(connection: Any) -> tuple[Execute, bool]:
    """How a statement is executed on it, and whether that is awaited."""
    for kind in type(connection).__mro__:
        library, name = kind.__module__.partition(".")[0], kind.__name__
        if library == "psycopg" and name in {"Connection", "AsyncConnection"}:
            return _by_psycopg(connection, name), name == "AsyncConnection"
        if library == "sqlalchemy" and name in _SQLALCHEMY:
            from sqlalchemy import text

            return lambda sql, values: connection.execute(
                text(sql), values
            ), name.lower().startswith("async")
    raise ConfigError(
        f"a {_name(connection)} is no connection to PostgreSQL: give a psycopg connection, or a "
        "SQLAlchemy connection or session"
    )


_SQLALCHEMY = {
    *("Connection", "Session", "scoped_session"),
    *("AsyncConnection", "AsyncSession", "async_scoped_session"),
}


def _by_psycopg(connection: Any, name: str) -> Execute:
    import psycopg

    # Not the connection's own kind of cursor: that may be any, with rows of any shape.
    kind = psycopg.Cursor if name == "Connection" else psycopg.AsyncCursor
    cursor: Any = kind(connection)
    return lambda sql, values: cursor.execute(_NAME.sub(r"%(\1)s", sql).encode(), values)


def _statements(
    engine: PostgresServer, messages: Sequence[Message], now: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    publish = in_schema(SQL.publish_one, engine.schema)
    for message in messages:
        yield publish, message_values(message, now)
    for channel, told in engine.rings(f"work:{message.queue}" for message in messages):
        yield SQL.ring, {"channel": channel, "told": told}


def _check(engine: PostgresServer, connection: Any) -> None:
    """Refuse what is surely another database: a task would go where no worker looks."""
    database = _database(connection)
    mine = engine.parameters().get("dbname")
    if database and mine and database != mine:
        raise ConfigError(
            f"the connection is to the database {database}, and the queue is in {engine.url}: only "
            "a transaction of the same database can hold both"
        )


def _database(connection: Any) -> str | None:
    info = getattr(connection, "info", None)
    if info is not None and hasattr(info, "dbname"):  # psycopg's
        name: str = info.dbname
        return name
    bind = connection.get_bind() if hasattr(connection, "get_bind") else connection.engine
    if bind.dialect.name != "postgresql":
        raise ConfigError(
            f"the connection is to a {bind.dialect.name} database; the queue is in PostgreSQL"
        )
    found: str | None = getattr(bind, "engine", bind).url.database
    return found


def _told(error: Exception, engine: PostgresServer) -> Exception:
    """What the server said, in our errors; anything else as it is."""
    original = getattr(error, "orig", None) or error  # SQLAlchemy wraps its driver's
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return refused(state, str(original), engine.url) if state else error


def _name(connection: Any) -> str:
    kind = type(connection)
    return f"{kind.__module__.partition('.')[0]} {kind.__name__}"
