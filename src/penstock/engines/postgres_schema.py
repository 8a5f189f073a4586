"""The schema that penstock's tables are in: which version is there, and how the next is made.

Migrations only add, so that programs of two releases work side by side on one database while a
new one is being rolled out. The database says which is the oldest that may still use it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.engines.postgres_batch import in_schema
from penstock.engines.postgres_errors import answered
from penstock.engines.statements import Statements
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from psycopg import Connection, Error

__all__ = ["SCHEMA", "SQL", "Found", "Schema", "apply", "ensure", "look", "script"]

SQL = Statements("penstock.engines.sql.postgres")

# (version, the lowest version that a program must know to work with it), in order.
_MIGRATIONS: tuple[tuple[int, int], ...] = ((1, 1),)
SCHEMA = _MIGRATIONS[-1][0]


class Found(msgspec.Struct, frozen=True):
    """What a database has: its version (0: none), and the oldest that a program may know."""

    version: int = 0
    oldest: int = 0


class Schema:
    """One schema in one database, for whoever administers it. ``connect`` gives a connection."""

    newest = SCHEMA

    def __init__(self, connect: Callable[[], Connection[Any]], name: str, where: object) -> None:
        self._connect = connect
        self._name = name
        self.where = f"schema {name} at {where}"
        self._at = where

    def found(self) -> Found:
        """What is there."""
        with self._connect() as connection:
            return look(connection, self._name, self._at)

    def apply(self) -> tuple[int, ...]:
        """Bring it up to date; gives the versions that were applied."""
        with self._connect() as connection:
            return apply(connection, self._name, self._at)

    def script(self, since: int) -> str:
        """The SQL of all versions after that one."""
        return script(self._name, since)

    def __repr__(self) -> str:
        return f"<{self.where}>"


def script(schema: str, since: int = 0) -> str:
    """The SQL of all versions after that one, for people to read or to run themselves."""
    parts = [] if since else [f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}", SQL.prepare]
    for version, oldest in _MIGRATIONS:
        if version > since:
            noted = SQL.applied.replace(":version", str(version)).replace(":oldest", str(oldest))
            parts += [getattr(SQL, f"migration_{version}"), noted]
    return "".join(f"{in_schema(part, schema)};\n" for part in parts).replace("; ", ";\n")


def look(connection: Connection[Any], schema: str, where: object) -> Found:
    """What is there; raises ConfigError where one may not look."""
    import psycopg

    try:
        row = connection.execute(_sql(SQL.found, schema)).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return Found()
    except psycopg.Error as error:
        raise _told(error, where) from error
    return Found(*row) if row and row[0] else Found()


def ensure(connection: Connection[Any], schema: str, where: object) -> None:
    """Have a schema that this program can use; raises ConfigError with the remedy."""
    found = look(connection, schema, where)
    if found.version < SCHEMA:
        apply(connection, schema, where)
    elif found.oldest > SCHEMA:
        raise ConfigError(
            f"the schema {schema} at {where} is of a newer penstock (version {found.version}; this "
            f"one knows {SCHEMA}, and {found.oldest} is the oldest that may use it): upgrade "
            "penstock"
        )


def apply(connection: Connection[Any], schema: str, where: object) -> tuple[int, ...]:
    """Bring the schema up to date, all of it or nothing; gives the versions that were applied."""
    import psycopg

    try:
        with connection.transaction():
            connection.execute(SQL.lock.replace(":number", str(_number(schema))))
            with connection.transaction():
                _prepare(connection, schema)
            found = look(connection, schema, where)
            missing = [step for step in _MIGRATIONS if step[0] > found.version]
            for version, oldest in missing:
                connection.execute(_sql(getattr(SQL, f"migration_{version}"), schema))
                noted = SQL.applied.replace(":version", str(version))
                connection.execute(_sql(noted.replace(":oldest", str(oldest)), schema))
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigError(
            f"PostgreSQL at {where} has no schema {schema} of version {SCHEMA}, and this user may "
            f"not make it ({str(error).strip()}): run `penstock schema apply` as one who may"
        ) from error
    except psycopg.Error as error:
        raise _told(error, where) from error
    return tuple(version for version, _ in missing)


def _prepare(connection: Connection[Any], schema: str) -> None:
    there = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,))
    if there.fetchone() is None:  # IF NOT EXISTS would ask for the right to make one all the same
        connection.execute(_sql(f"CREATE SCHEMA {_quoted(schema)}", "penstock"))
    connection.execute(_sql(SQL.prepare, schema))


def _sql(text: str, schema: str) -> bytes:
    return in_schema(text, schema).encode()


def _quoted(schema: str) -> str:
    return '"' + schema.replace('"', '""') + '"'


def _number(schema: str) -> int:
    return zlib.crc32(f"penstock {schema}".encode())


def _told(error: Error, where: object) -> Exception:
    return answered(error.sqlstate or "", str(error), where)
