"""Broker and store addresses: parsed once, never shown with their password."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from penstock.errors import ConfigError

__all__ = ["Url"]

_FILES = frozenset({"sqlite", "db+sqlite"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_SEVERAL = re.compile("[,;]")  # between the servers of one address
_AMQP = re.compile("(?i);(?=(?:py)?amqps?://)")
_BETWEEN = {"sentinel": re.compile(";"), "amqp": _AMQP, "amqps": _AMQP, "pyamqp": _AMQP}


@dataclass(frozen=True, slots=True)
class Url:
    """``scheme://user:password@host:port/path?option=value``, with the password masked in text.

    Of several servers (``host:port,host:port``) ``host`` is the whole text, and :meth:`servers`
    tells them apart.
    """

    scheme: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    path: str = ""
    options: dict[str, str] = field(default_factory=dict, repr=False)  # may hold a password
    raw: str = field(default="", repr=False, compare=False)

    @classmethod
    def parse(cls, text: str | Url) -> Url:
        """Read an address; raises ConfigError (without the address's password) when it is none."""
        if isinstance(text, Url):
            return text
        scheme, separator, _ = text.partition("://")
        text = _one_address(text, scheme)
        if not separator or not _SCHEME.fullmatch(scheme):
            raise ConfigError(
                "a broker or result store is named by a URL such as sqlite:///penstock.db "
                "or redis://host:6379/0; this text has no scheme:// at its beginning"
            )
        parts, host, port = _split(scheme, text)
        return cls(
            scheme=scheme.lower(),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            host=host,
            port=port,
            path=unquote(parts.path),
            options=dict(parse_qsl(parts.query, keep_blank_values=True)),
            raw=text,
        )

    def anchored(self) -> str:
        """The whole text, password included, with a relative file path made absolute.

        For whoever may change the current folder before the address is used.
        """
        if self.scheme not in _FILES or not self.path or self.path.startswith("//"):
            return self.raw
        path = os.path.abspath(self.path.removeprefix("/"))  # noqa: PTH100 - must not resolve links
        return self.raw.replace(f"//{self.path}", f"///{path}", 1)

    def servers(self, default_port: int) -> list[tuple[str, int]]:
        """Host and port of each server that the address names; ConfigError for what is none."""
        if self.port is not None or not _SEVERAL.search(self.host or ""):
            return [(self.host or "localhost", self.port or default_port)]
        return [_server(part, default_port) for part in _SEVERAL.split(self.host or "") if part]

    def __str__(self) -> str:
        """The address with ``**`` for its password, as banners and logs may show it."""
        login = ""
        if self.user is not None or self.password is not None:
            mask = ":**" if self.password is not None else ""
            login = f"{self.user or ''}{mask}@"
        where = self.host or ""
        if self.port is not None:
            where += f":{self.port}"
        return f"{self.scheme}://{login}{where}{self.path}"


def _one_address(text: str, scheme: str) -> str:
    """Celery's ``amqp://host:port//;amqp://host:port//``, with its hosts in one list."""
    separator = _BETWEEN.get(scheme.lower())
    if separator is None:
        return text
    first, *others = separator.split(text)
    if not others:
        return text
    start, _, path = first.removeprefix(f"{scheme}://").partition("/")
    places = [start.partition("?")[0]]
    for other in others:
        place, slash, rest = other.removeprefix(f"{scheme}://").partition("/")
        place, mark, query = place.partition("?")
        places.append(place.rpartition("@")[2])
        path = rest if slash else path
        path += mark + query
    return f"{scheme}://{','.join(filter(None, places))}/{path}"


def _server(text: str, default_port: int) -> tuple[str, int]:
    """One of several: ``host``, ``host:port``, ``[address]:port``."""
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port or default_port
    except ValueError:
        raise ConfigError(f"{text[:100]} is no server: write host:port") from None
    return parts.hostname or "localhost", port


def _split(scheme: str, text: str) -> tuple[SplitResult, str | None, int | None]:
    """The parts of an address, its host and port; an error must not quote from the password."""
    try:
        parts = urlsplit(text)
        where = parts.netloc.rpartition("@")[2]
        # "redis://:12/cret@host" would be read as port 12 and the path "/cret@host".
        # A second login, in "redis://:secret@a;redis://:secret@b", would be taken for the path.
        if ("@" in parts.netloc and "@" not in parts.path) or "@" not in text or not parts.netloc:
            if _SEVERAL.search(where):
                return parts, where.lower(), None
            return parts, parts.hostname, parts.port
    except ValueError:
        pass  # its text quotes what was read as the port
    raise ConfigError(
        f"the {scheme}:// URL has no host and port that can be read; in a user name or password "
        "write / ? # @ : as %2F %3F %23 %40 %3A, and elsewhere @ as %40"
    )
