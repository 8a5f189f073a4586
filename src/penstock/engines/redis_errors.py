"""What goes wrong with a Redis server, in our errors: what was (not) done, and the remedy."""

from __future__ import annotations

from pathlib import Path

from penstock.errors import BrokerError, ConfigError, PenstockError, Unavailable
from penstock.url import Url

__all__ = ["is_elsewhere", "refused", "unreachable"]

# First word of the server's reply -> (error, what helps). Unavailable: surely nothing was done.
_REPLIES: dict[str, tuple[type[PenstockError], str]] = {
    "NOAUTH": (ConfigError, "the URL's password is wrong, or it has none: redis://:password@host"),
    "WRONGPASS": (ConfigError, "the URL's user name or password is wrong"),
    "NOPERM": (ConfigError, "the URL's user may not do this: give it the commands and keys"),
    "LOADING": (Unavailable, "it is reading its data from disk; wait"),
    "MASTERDOWN": (Unavailable, "its master is down; wait for the failover"),
    "READONLY": (Unavailable, "this server is a replica now: name the master, or use Sentinel"),
    "MISCONF": (Unavailable, "it cannot write to its disk: see its log"),
    "OOM": (Unavailable, "its memory is full: raise maxmemory, or drain the queues"),
    "CLUSTERDOWN": (Unavailable, "wait for the cluster"),
    "NOREPLICAS": (Unavailable, "too few of its replicas are there (min-replicas-to-write)"),
    "MOVED": (ConfigError, "it is a Redis Cluster, which penstock does not know: name another"),
    "CROSSSLOT": (ConfigError, "it is a Redis Cluster, which penstock does not know: name another"),
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

# What a text of the TLS library holds -> what helps. Waiting does not, so it is a ConfigError.
_TLS = {
    "mismatch": "its certificate is for another name: use the name that it is for",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted here: name the authority that "
    "signed it, ?ssl_ca_certs=file",
    "CERTIFICATE_REQUIRED": "it wants a certificate: ?ssl_certfile=file&ssl_keyfile=file",
    "UNKNOWN_CA": "it does not trust the certificate that it is shown: one of its own authority is "
    "wanted, ?ssl_certfile=file&ssl_keyfile=file",
    "WRONG_VERSION_NUMBER": "it speaks no TLS: write redis://",
}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")


def unreachable(error: Exception, url: Url) -> PenstockError:
    """The error for a server to which no connection could be made."""
    said = str(error) or type(error).__name__
    for name in _FILES:
        file = url.options.get(name)
        if file and not Path(file).exists():
            return ConfigError(f"{name} of {url} names a file that is not there: {file}")
    for known, remedy in _TLS.items():
        if known in said:
            return ConfigError(f"Redis at {url} and this side cannot agree: {said}; {remedy}")
    return Unavailable(
        f"Redis at {url} cannot be reached: {said}; is it running, and is the address right?"
        + _about_tls(said, secure=url.scheme.startswith("rediss"))
    )


def _about_tls(said: str, *, secure: bool) -> str:
    """What else it may be, where somebody took the connection and then said nothing of use."""
    if "refused" in said or "resol" in said:
        return ""
    if not secure:
        return " If it speaks TLS, write rediss://" if "reset" in said or "closed" in said else ""
    if "EOF" in said or "alert" in said or "closed" in said or "reset" in said:
        return " It may want a certificate: ?ssl_certfile=file&ssl_keyfile=file"
    return " If it speaks no TLS, write redis://"
