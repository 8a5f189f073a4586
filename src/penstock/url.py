"""Broker and store addresses: parsed once, never shown with their password."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from penstock.errors import ConfigError

__all__ = ["Url"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class Url:
    """``scheme://user:password@host:port/path?option=value``, with the password masked in text."""

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
        if not separator or not _SCHEME.fullmatch(scheme):
            raise ConfigError(
                "a broker or result store is named by a URL such as sqlite:///penstock.db "
                "or redis://host:6379/0; this text has no scheme:// at its beginning"
            )
        parts, port = _split(scheme, text)
        return cls(
            scheme=scheme.lower(),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            host=parts.hostname,
            port=port,
            path=unquote(parts.path),
            options=dict(parse_qsl(parts.query, keep_blank_values=True)),
            raw=text,
        )

    def anchored(self) -> str:
        """The whole text, password included, with a relative file path made absolute.

        For whoever may change the current folder before the address is used.
        """
        if self.scheme != "sqlite" or not self.path or self.path.startswith("//"):
            return self.raw
        path = os.path.abspath(self.path.removeprefix("/"))  # noqa: PTH100 - must not resolve links
        return self.raw.replace(f"//{self.path}", f"///{path}", 1)

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


def _split(scheme: str, text: str) -> tuple[SplitResult, int | None]:
    """The parts of an address and its port; an error must not quote a piece of the password."""
    try:
        parts = urlsplit(text)
        # "redis://:12/cret@host" would be read as port 12 and the path "/cret@host".
        if "@" in parts.netloc or "@" not in text or not parts.netloc:
            return parts, parts.port
    except ValueError:
        pass  # its text quotes what was read as the port
    raise ConfigError(
        f"the {scheme}:// URL has no host and port that can be read; in a user name or password "
        "write / ? # @ : as %2F %3F %23 %40 %3A, and elsewhere @ as %40"
    )
