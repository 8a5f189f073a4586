"""What goes wrong with a database, in our errors: what was (not) done, and the remedy.

Only what the driver said is quoted: the client library's own text holds statements and values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import BrokerError, ConfigError, EncodeError, PenstockError, Unavailable

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["is_of_the_tables", "is_worth_repeating", "translated"]

# A number or code of the database, or a part of its text -> (error, what helps).
# Unavailable: surely nothing was done.
_LOGIN = "check the URL's user name and password"
_MAY_NOT = (
    "the account may not do this: give it SELECT, INSERT, UPDATE and DELETE on the tables of "
    "docs/sql.md, and have their owner make those that are missing"
)
_NOT_OURS = "a table was altered or dropped while it was used: restart, or restore it"
_KNOWN: dict[str, tuple[type[PenstockError], str]] = {
    # MySQL and MariaDB
    "1045": (ConfigError, _LOGIN),
    "1698": (ConfigError, _LOGIN),
    "1044": (ConfigError, "make the database, or let the account use it"),
    "1049": (ConfigError, "make the database, or name another one"),
    "1142": (ConfigError, _MAY_NOT),
    "1143": (ConfigError, _MAY_NOT),
    "1146": (ConfigError, _NOT_OURS),
    "1054": (ConfigError, _NOT_OURS),
    "1364": (ConfigError, _NOT_OURS),
    "1406": (EncodeError, "a column is too short for it"),
    "1153": (EncodeError, "raise the server's max_allowed_packet"),
    "1021": (Unavailable, "its disk is full"),
    "1114": (Unavailable, "its disk, or the table, is full"),
    "1040": (Unavailable, "it has too many connections"),
    "1290": (Unavailable, "it is read-only: name the primary"),
    "1792": (Unavailable, "it is read-only: name the primary"),
    "1836": (Unavailable, "it is read-only: name the primary"),
    # PostgreSQL
    "28P01": (ConfigError, _LOGIN),
    "28000": (ConfigError, _LOGIN),
    "password authentication failed": (ConfigError, _LOGIN),
    "no password supplied": (ConfigError, _LOGIN),
    "no pg_hba.conf entry": (ConfigError, _LOGIN),
    "3D000": (ConfigError, "make the database, or name another one"),
    'database "': (ConfigError, "make the database, or name another one"),
    'role "': (ConfigError, _LOGIN),
    "42501": (ConfigError, _MAY_NOT),
    "42P01": (ConfigError, _NOT_OURS),
    "42703": (ConfigError, _NOT_OURS),
    "42804": (ConfigError, _NOT_OURS),
    "22001": (EncodeError, "a column is too short for it"),
    "53100": (Unavailable, "its disk is full"),
    "53200": (Unavailable, "its memory is full"),
    "53300": (Unavailable, "it has too many connections"),
    "57P03": (Unavailable, "it is starting: wait"),
    "25006": (Unavailable, "it is read-only: name the primary"),
    # SQLite
    "no such table": (ConfigError, _NOT_OURS),
    "no such column": (ConfigError, _NOT_OURS),
    "no column named": (ConfigError, _NOT_OURS),
    "not a database": (ConfigError, "name another file"),
    "unable to open": (ConfigError, "check the folder, and the mode of the file"),
    "readonly": (ConfigError, "this user may not write the file"),
    "disk is full": (Unavailable, "its disk is full"),
    "database is locked": (Unavailable, "another process keeps it locked"),
}
# Deadlocks, lost races, and rows that somebody else made in the meantime.
_REPEAT = ("1213", "1205", "1020", "1062", "40001", "40P01", "23505", "55P03", "UNIQUE constraint")


def _code(error: sa.exc.DBAPIError) -> str:
    """The database's own number or code of an error; empty where it gives none."""
    args = getattr(error.orig, "args", ())
    if args and isinstance(args[0], int):
        return str(args[0])
    return str(getattr(error.orig, "sqlstate", None) or "")


def is_worth_repeating(error: sa.exc.DBAPIError) -> bool:
    """True when the transaction was rolled back for the sake of another one."""
    return _code(error) in _REPEAT or any(part in str(error.orig) for part in _REPEAT[-1:])


def is_of_the_tables(error: sa.exc.DBAPIError) -> bool:
    """True when a table or column is not there (any more)."""
    parts = ("no such table", "no such column", "no column named")
    return _code(error) in {"1146", "1054", "42P01", "42703"} or any(
        part in str(error.orig) for part in parts
    )


def translated(error: sa.exc.DBAPIError, where: object) -> PenstockError:
    """The error for what the database said."""
    text = " ".join(str(error.orig).split())[:300]
    found = _KNOWN.get(_code(error)) or next(
        (value for part, value in _KNOWN.items() if not part[0].isdigit() and part in text), None
    )
    if found is not None:
        kind, remedy = found
        return kind(f"{where} says: {text}; {remedy}")
    if error.connection_invalidated or _cannot_connect(error):
        return Unavailable(f"{where} cannot be reached: {text}; is it running, and is that right?")
    return BrokerError(f"{where} says: {text}")


def _cannot_connect(error: sa.exc.DBAPIError) -> bool:
    name = type(error).__name__
    return name in {"OperationalError", "InterfaceError"} and _code(error) in {
        *("", "2002", "2003", "2005", "2006", "2013", "2014", "1053"),
        *("08000", "08001", "08003", "08004", "08006", "57P01", "57P02"),
    }
