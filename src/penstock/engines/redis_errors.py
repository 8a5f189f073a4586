"""What goes wrong with a Redis server, in our errors: what was (not) done, and the remedy."""

from __future__ import annotations

from penstock.errors import BrokerError, ConfigError, PenstockError, Unavailable

__all__ = ["refused"]

# First word of the server's reply -> (error, what helps). Unavailable: surely nothing was done.
_REPLIES: dict[str, tuple[type[PenstockError], str]] = {
    "NOAUTH": (ConfigError, "put the password into the URL: redis://:password@host"),
    "WRONGPASS": (ConfigError, "the URL's user name or password is wrong"),
    "NOPERM": (ConfigError, "the URL's user may not do this: give it the commands and keys"),
    "LOADING": (Unavailable, "it is reading its data from disk; wait"),
    "MASTERDOWN": (Unavailable, "its master is down; wait for the failover"),
    "READONLY": (Unavailable, "this server is a replica now: name the master, or use Sentinel"),
    "MISCONF": (Unavailable, "it cannot write to its disk: see its log"),
    "OOM": (Unavailable, "its memory is full: raise maxmemory, or drain the queues"),
    "CLUSTERDOWN": (Unavailable, "wait for the cluster"),
    "BUSY": (Unavailable, "another client's script runs too long on it"),
    "WRONGTYPE": (BrokerError, "a key that a queue needs holds something else: rename either"),
}


def refused(error: Exception, where: object) -> PenstockError:
    """The error for what the server replied instead of doing it."""
    text = str(error)
    # redis-py cuts the first word off some replies, and names their kind by the class.
    word = text.split(" ", 1)[0].lstrip("-")
    for known, (kind, remedy) in _REPLIES.items():
        if word == known or known in text[:200].split() or _CLASSES.get(known) == _name(error):
            return kind(f"Redis at {where} says: {text}; {remedy}")
    if "DB index" in text or "invalid DB" in text:
        return ConfigError(f"Redis at {where} has no such database: {text}")
    return BrokerError(f"Redis at {where} says: {text}")


_CLASSES = {
    "LOADING": "BusyLoadingError",
    "READONLY": "ReadOnlyError",
    "NOAUTH": "AuthenticationError",
    "NOPERM": "NoPermissionError",
    "OOM": "OutOfMemoryError",
}


def _name(error: Exception) -> str:
    return type(error).__name__
