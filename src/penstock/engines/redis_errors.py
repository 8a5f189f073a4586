"""What goes wrong with a Redis server, in our errors: what was (not) done, and the remedy."""

from __future__ import annotations

from penstock.errors import BrokerError, ConfigError, PenstockError, Unavailable

__all__ = ["is_elsewhere", "refused"]

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


_ELSEWHERE = frozenset({"READONLY", "MASTERDOWN", "LOADING"})


def is_elsewhere(error: Exception) -> bool:
    """True when another connection may lead to a server that does it."""
    return any(word in _ELSEWHERE for word in str(error)[:200].replace("-", " ").split())


def refused(error: Exception, where: object) -> PenstockError:
    """The error for what the server replied instead of doing it."""
    text = str(error)
    words = text[:200].replace("-", " ").split()  # a script's error has the word further on
    for known, (kind, remedy) in _REPLIES.items():
        if known in words or _CLASSES.get(known) == type(error).__name__:
            return kind(f"Redis at {where} says: {text}; {remedy}")
    if "DB index" in text or "invalid DB" in text:
        return ConfigError(f"Redis at {where} has no such database: {text}")
    return BrokerError(f"Redis at {where} says: {text}")


# The client library reads some replies itself while it connects, and cuts their first word off.
_CLASSES = {
    "LOADING": "BusyLoadingError",
    "NOAUTH": "AuthenticationError",
    "NOPERM": "NoPermissionError",
}
