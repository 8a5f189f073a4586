"""Where the master is, asked of Redis Sentinel for each new connection.

``redis+sentinel://user:password@host:26379,host:26379/master/0``; with ``rediss+sentinel`` by TLS.
Celery's ``sentinel://host:26379;sentinel://host:26379/0`` takes ``?master_name=`` beside it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from penstock.engines.redis_options import in_its_words
from penstock.errors import ConfigError
from penstock.url import Url

__all__ = ["SENTINEL_SCHEMES", "behind_sentinels", "master_and_database"]

SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel", "sentinel")
_PORT = 26379
_OURS = ("master_name", "sentinel_username", "sentinel_password", "db", "virtual_host")


def master_and_database(url: Url) -> tuple[str, str]:
    """The name under which Sentinel knows the master, and what the path says of the database."""
    parts = [part for part in url.path.split("/") if part]
    name = url.options.get("master_name")
    if name is None and parts and not parts[0].isdigit():
        name = parts.pop(0)
    if not name or len(parts) > 1:
        raise ConfigError(
            f"{url} names no master: write {url.scheme}://host:26379,host:26379/master/0, or add "
            "?master_name=…"
        )
    return name, parts[0] if parts else ""


def behind_sentinels(url: Url, options: dict[str, Any]) -> Any:
    """The library's pool whose connections lead to whoever is the master then."""
    from redis.connection import parse_url
    from redis.sentinel import Sentinel, SentinelConnectionPool

    tls = url.scheme == "rediss+sentinel"
    name, database = master_and_database(url)
    query = "&".join(
        part
        for part in urlsplit(url.raw).query.split("&")
        if part and part.partition("=")[0] not in _OURS
    )
    read: Any = parse_url  # the library tells no types
    said: dict[str, Any] = read(f"{'rediss' if tls else 'redis'}://host/?{query}")
    said = {k: v for k, v in said.items() if k not in {"host", "port", "connection_class", "db"}}
    said = in_its_words(said)
    watch = options | said
    watch |= {
        "socket_timeout": watch["socket_connect_timeout"],
        "username": url.options.get("sentinel_username"),
        "password": url.options.get("sentinel_password"),
        "ssl": tls,
    }
    number = url.options.get("db", url.options.get("virtual_host", database)) or "0"
    pool: Any = SentinelConnectionPool
    watchers: Any = Sentinel
    return pool(
        name,
        watchers(url.servers(_PORT), sentinel_kwargs=_for_clients(watch)),
        ssl=tls,
        **options | said,
        username=url.user,
        password=url.password,
        db=int(number),
    )


_CLIENT = ("socket_", "ssl", "username", "password", "retry", "protocol")


def _for_clients(options: dict[str, Any]) -> dict[str, Any]:
    """Those that the library's client takes, too: the rest is ours."""
    return {k: v for k, v in options.items() if k.startswith(_CLIENT) and k != "retry_on_error"}
