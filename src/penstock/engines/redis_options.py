"""Options of a Redis URL in the client library's words."""

from __future__ import annotations

from typing import Any

__all__ = ["in_its_words"]

_CHECK = "ssl_cert_reqs"


def in_its_words(options: dict[str, Any]) -> dict[str, Any]:
    """The same, with the library's words for Celery's: ``required`` for ``CERT_REQUIRED``."""
    said = options.get(_CHECK)
    if not isinstance(said, str):
        return options
    return options | {_CHECK: said.lower().removeprefix("cert_")}
