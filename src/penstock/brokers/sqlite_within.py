"""Publishing within a transaction of the caller's, on the caller's own connection to the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.brokers import rows
from penstock.brokers.sqlite_claim import SQL
from penstock.engines.rows import insert
from penstock.engines.sqlite import SqliteFile
from penstock.engines.sqlite_errors import translated
from penstock.errors import ConfigError
from penstock.message import Message
from penstock.plan import Exchange

if TYPE_CHECKING:
    import apsw

__all__ = ["publish_within"]


def publish_within(
    engine: SqliteFile,
    connection: Any,
    messages: Sequence[Message],
    now: float,
    rings: tuple[str, ...],
) -> None:
    """Store messages when the connection's transaction commits; raises ConfigError."""
    import apsw

    path = engine.location.path
    mine = _checked(connection, path)
    engine.version()  # makes the file ours, if need be
    try:
        insert(mine, SQL.publish, [rows.message_row(message, now) for message in messages])
    except apsw.Error as error:
        raise translated(error, path) from error
    if mine.in_transaction:
        _ring_after(mine, engine, rings)
    else:
        _ring(engine, rings)


def _checked(connection: Any, path: str) -> apsw.Connection:
    import apsw

    if not isinstance(connection, apsw.Connection):
        kind = type(connection)
        raise ConfigError(
            f"{kind.__module__.partition('.')[0]}.{kind.__name__} cannot be used on {path}: give "
            "an apsw.Connection. Two SQLite libraries that have one file open in one process "
            "(Python's sqlite3 is another) void each other's locks, and that corrupts it"
        )
    if os.path.realpath(connection.filename) != path:
        raise ConfigError(
            f"the connection is to {connection.filename or 'no file'}, and the queue is in {path}: "
            "only a transaction of the same file can hold both"
        )
    return connection


def _ring_after(connection: apsw.Connection, engine: SqliteFile, rings: tuple[str, ...]) -> None:
    """Ring the bells once the transaction has been committed, and not if it is rolled back.

    The hook is called just before the commit. What it posts waits for the file like any other
    writer, and so comes right behind it.
    """
    hook = ("penstock", engine.location.path)

    def on_commit() -> bool:
        connection.set_commit_hook(None, id=hook)
        _ring(engine, rings)
        return False

    connection.set_commit_hook(on_commit, id=hook)


def _ring(engine: SqliteFile, rings: tuple[str, ...]) -> None:
    engine.post(Exchange("ring", lambda c: c.execute(SQL.touch), durable=False, rings=rings))
