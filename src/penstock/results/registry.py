"""From a URL to a result store: the one place that imports backends by name."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import ConfigError
from penstock.url import Url

if TYPE_CHECKING:
    from penstock.results.base import ResultStore

__all__ = ["SCHEMES", "open_store"]

# scheme -> "module:class"; the class has `from_url(url, clock=...)`.
SCHEMES = {
    "memory": "penstock.results.memory:MemoryStore",
    "sqlite": "penstock.results.sqlite:SqliteStore",
}


def open_store(url: str | Url, *, clock: Clock = SYSTEM_CLOCK) -> ResultStore:
    """The result store at that URL, connected on first use; ConfigError for an unknown scheme."""
    address = Url.parse(url)
    try:
        module, _, name = SCHEMES[address.scheme].partition(":")
    except KeyError:
        near = difflib.get_close_matches(address.scheme, SCHEMES, n=1)
        hint = f"; did you mean {near[0]}://?" if near else ""
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ConfigError(
            f"no result store for {address.scheme}:// URLs{hint} (there are {known})"
        ) from None
    store: ResultStore = getattr(import_module(module), name).from_url(address, clock=clock)
    return store
