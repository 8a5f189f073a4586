"""What goes wrong with a PostgreSQL server, in our errors: what was (not) done, and the remedy."""

from __future__ import annotations

from penstock.errors import BrokerError, ConfigError, PenstockError, Unavailable, Uncertain

__all__ = ["AlreadyThere", "InTheWay", "NoSuchTable", "answered", "lost", "refused", "unreachable"]


class AlreadyThere(BrokerError):
    """A key exists; whoever copies rows then inserts them one by one."""


class InTheWay(Unavailable):
    """Another transaction was in the way of this one, which was taken back: it may be run again."""


class NoSuchTable(ConfigError):
    """A table is not there, or its schema."""


# SQLSTATE, or its first two characters -> (error, what helps). Unavailable: nothing was done.
_STATES: dict[str, tuple[type[PenstockError], str]] = {
    "23505": (AlreadyThere, "it is there already"),
    "25006": (
        Unavailable,
        "this server is a standby now: name them all, ?host=a,b&target_session_attrs=read-write",
    ),
    "28": (ConfigError, "the URL's user name or password is wrong, or pg_hba.conf forbids it"),
    "3D000": (ConfigError, "there is no such database: create it, or name another in the URL"),
    "3F000": (NoSuchTable, "run `penstock schema apply`"),
    "42P01": (NoSuchTable, "run `penstock schema apply`; if a table was removed, restore it"),
    "42703": (
        ConfigError,
        "a table was altered: restore its column, or run `penstock schema apply`",
    ),
    "42501": (ConfigError, "grant it: the user needs SELECT, INSERT, UPDATE and DELETE there"),
    "42": (ConfigError, "a table was altered: restore it, or use another schema (?schema=name)"),
    "40": (InTheWay, "others were in the way; try again"),
    "55P03": (Unavailable, "a lock was not to be had: look for a migration that holds it"),
    "57014": (Unavailable, "the server's statement_timeout ended it: raise it for this user"),
    "53100": (Unavailable, "its disk is full: free some space"),
    "53300": (Unavailable, "it has no connection left: raise max_connections, or use fewer"),
    "53": (Unavailable, "it is out of memory, or of something else: see its log"),
    "57": (Unavailable, "it is starting or stopping; wait"),
    "58": (Unavailable, "its disk failed: see its log"),
    "54": (BrokerError, "it is larger than the server takes: send a reference to it"),
    "22": (BrokerError, "the server has no form for a value in it"),
}

# libpq tells no SQLSTATE of a connection that was refused, only words.
_WORDS: tuple[tuple[str, str], ...] = (
    ("password authentication failed", "28"),
    ("no password supplied", "28"),
    ("no pg_hba.conf entry", "28"),
    ("authentication failed", "28"),
    ('role "', "28"),
    ("permission denied for database", "42501"),
    ('database "', "3D000"),
    ("too many clients", "53300"),
    ("too many connections", "53300"),
    ("remaining connection slots", "53300"),
)


def refused(state: str, text: str, where: object) -> PenstockError:
    """The error for what the server said instead of doing it."""
    kind, remedy = _STATES.get(state) or _STATES.get(state[:2]) or (BrokerError, "")
    said = f"PostgreSQL at {where} says: {text.strip()} ({state})"
    return kind(f"{said}; {remedy}" if remedy else said)


def answered(state: str, text: str, where: object) -> PenstockError:
    """The error for what came instead of a reply: what the server said, or the end of the line."""
    if not state or state.startswith(("57P", "08")):  # the connection ended, or will
        return lost(text, where)
    return refused(state, text, where)


def unreachable(text: str, where: object) -> PenstockError:
    """The error for a connection that did not come about."""
    told = " ".join(text.split())
    for words, state in _WORDS:
        if words in told:
            kind, remedy = _STATES[state]
            if state == "3D000" and "does not exist" not in told:
                continue
            return kind(f"PostgreSQL at {where} refuses: {told}; {remedy}")
    return Unavailable(
        f"PostgreSQL at {where} cannot be reached: {told}; is it running, and is the address right?"
    )


def lost(text: str, where: object) -> Uncertain:
    """The error for a connection that ended before the reply."""
    return Uncertain(
        f"the connection to PostgreSQL at {where} was lost before it replied:"
        f" {' '.join(text.split()) or 'it was closed'}"
    )
