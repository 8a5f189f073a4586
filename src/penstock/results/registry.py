"""From a URL to a result store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.schemes import backend_class
from penstock.errors import ConfigError
from penstock.url import Url

if TYPE_CHECKING:
    from penstock.results.base import ResultStore

__all__ = ["REPLIES", "SCHEMES", "open_store"]

REPLIES = "rpc:"  # what the URL begins with that names the broker itself

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
    "rpc": "penstock.results.rpc:RpcStore",
}
_BY_MESSAGES = ("amqp", "amqps", "pyamqp")  # brokers that carry results, too


def open_store(
    url: str | Url, *, broker: str | Url | None = None, clock: Clock = SYSTEM_CLOCK
) -> ResultStore:
    """The result store at that URL, connected on first use; ConfigError for an unknown scheme.

    ``broker`` is the URL of what carries the tasks: ``rpc://`` sends results by it.
    """
    address = Url.parse(url)
    found = backend_class(address, SCHEMES, what="result store")
    if address.scheme == "rpc":
        address = _carrier(broker)
    store: ResultStore = found.from_url(address, clock=clock)
    return store


def _carrier(broker: str | Url | None) -> Url:
    """The broker that results go by, too."""
    if broker is None:
        raise ConfigError("rpc:// is no place of its own: results go by the app's broker")
    address = Url.parse(broker)
    if address.scheme not in _BY_MESSAGES:
        raise ConfigError(
            f"rpc:// sends results by RabbitMQ, and this app's broker is {address}: leave "
            "result_backend out, or name another one"
        )
    return address
