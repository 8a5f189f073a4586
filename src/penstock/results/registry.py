"""From a URL to a result store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.schemes import backend_class
from penstock.url import Url

if TYPE_CHECKING:
    from penstock.results.base import ResultStore

__all__ = ["SCHEMES", "open_store"]

# scheme -> "module:class"; the class has `from_url(url, clock=...)`.
SCHEMES = {
    "memory": "penstock.results.memory:MemoryStore",
    "sqlite": "penstock.results.sqlite:SqliteStore",
    **dict.fromkeys(("postgresql", "postgres"), "penstock.results.postgres:PostgresStore"),
    **dict.fromkeys(
        (
            "redis",
            "rediss",
            "unix",
            "redis+socket",
            "redis+sentinel",
            "rediss+sentinel",
            "sentinel",
        ),
        "penstock.results.redis:RedisStore",
    ),
    **dict.fromkeys(
        ("cache+memcached", "cache+pymemcache"), "penstock.results.memcached:MemcachedStore"
    ),
    **dict.fromkeys(
        (
            "db+postgresql",
            "db+postgresql+psycopg",
            "db+mysql",
            "db+mysql+pymysql",
            "db+mariadb",
            "db+mariadb+pymysql",
            "db+sqlite",
        ),
        "penstock.results.sql:SqlStore",
    ),
}


def open_store(url: str | Url, *, clock: Clock = SYSTEM_CLOCK) -> ResultStore:
    """The result store at that URL, connected on first use; ConfigError for an unknown scheme."""
    address = Url.parse(url)
    found = backend_class(address, SCHEMES, what="result store")
    store: ResultStore = found.from_url(address, clock=clock)
    return store
