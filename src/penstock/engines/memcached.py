"""Memcached servers as an engine: exchanges get a :class:`Cache`, whose writes are compare-and-set.

A connection that the server has closed meanwhile is made anew, once. What was surely not done
raises Unavailable; where the reply is lost, Uncertain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from penstock.engines.blocking import BlockingEngine
from penstock.engines.named import Named
from penstock.errors import BrokerError, ConfigError, EncodeError, Unavailable, Uncertain
from penstock.plan import Exchange
from penstock.url import Url

if TYPE_CHECKING:
    import ssl

__all__ = ["Cache", "Instance", "MemcachedServers"]

R = TypeVar("R")

_PORT = 11211
_CONNECT_TIMEOUT = 5.0  # seconds
_REPLY_TIMEOUT = 10.0
_MOST_CONNECTIONS = 32
_OPTIONS = {"key_prefix", "global_keyprefix", "use_ssl", "ca", "certfile", "keyfile"}
_SHOWN = ("key_prefix", "use_ssl", "ca", "certfile", "keyfile")
_ABOUT = 2.0  # seconds by which two such looks at one life may differ
_FROM_THE_START = 2  # what a server's uptime says in its first second


class Instance(msgspec.Struct, frozen=True):
    """One life of one server: after a restart it is another one, and empty."""

    server: str
    pid: int
    since: float  # wall time here, to about a second
    began: float  # the same by this process's monotonic clock, which does not jump

    def is_same(self, other: Instance) -> bool:
        """True when nothing was lost between the two looks."""
        return self.pid == other.pid and abs(self.began - other.began) < _ABOUT


class MemcachedServers(BlockingEngine):
    """The engine on one server, or on several that share keys as Celery's client shares them."""

    NAME = "penstock-memcached"

    def __init__(self, url: Url) -> None:
        self.url = url
        self.prefix = url.options.get("key_prefix", url.options.get("global_keyprefix", ""))
        self.servers = _servers(url)
        super().__init__()

    @classmethod
    def at(cls, url: str | Url) -> MemcachedServers:
        """The engine for a URL: one object per process, so that all its users share it."""
        return _named.at(url, cls)

    def start_afresh(self) -> None:
        super().start_afresh()
        self._cache: Cache | None = None

    def run(self, exchange: Exchange) -> Any:
        return exchange.run(self._there())

    def _there(self) -> Cache:
        with self._lock:
            if self._cache is None:
                self._cache = Cache(self.url, self.servers)
            return self._cache

    def close(self) -> None:
        super().close()
        with self._lock:
            cache, self._cache = self._cache, None
        if cache is not None:
            cache.close()

    def __repr__(self) -> str:
        return f"MemcachedServers({str(self.url)!r})"


class Cache:
    """Values of any bytes by key, in whichever server a key belongs to."""

    def __init__(self, url: Url, servers: Sequence[tuple[str, int]]) -> None:
        try:
            from pymemcache.client.base import PooledClient
            from pymemcache.client.rendezvous import RendezvousHash
        except ImportError as error:
            raise ConfigError(
                f"{url.scheme}:// needs pymemcache: pip install 'penstock[memcached]'"
            ) from error
        self._url = url
        self._hash = RendezvousHash()
        self._clients: dict[str, Any] = {}
        tls = _tls(url)
        for host, port in servers:
            name = f"{host}:{port}"
            self._hash.add_node(name)
            self._clients[name] = PooledClient(
                (host, port),
                connect_timeout=_CONNECT_TIMEOUT,
                timeout=_REPLY_TIMEOUT,
                no_delay=True,
                tls_context=tls,
                max_pool_size=_MOST_CONNECTIONS,
                allow_unicode_keys=True,
                default_noreply=False,
            )

    def _server_of(self, key: str) -> str:
        if len(self._clients) == 1:
            return next(iter(self._clients))
        name: str = self._hash.get_node(key)
        return name

    def _do(self, server: str, command: Callable[[Any], R]) -> R:
        from pymemcache import exceptions

        client = self._clients[server]
        for last in (False, True):
            try:
                return command(client)
            except (exceptions.MemcacheUnexpectedCloseError, ConnectionResetError, BrokenPipeError):
                client.close()  # all idle connections: they are from before, too
                if last:
                    raise Uncertain(
                        f"memcached at {server} closed the connection before it replied"
                    ) from None
            except TimeoutError as error:
                raise Uncertain(f"memcached at {server} did not reply in time") from error
            except OSError as error:
                raise Unavailable(
                    f"memcached at {server} cannot be reached: {error}; is it running, and is the "
                    "address right?"
                ) from error
            except exceptions.MemcacheIllegalInputError as error:
                raise EncodeError(f"no name for memcached: {error}") from error
            except exceptions.MemcacheError as error:
                raise _refused(server, error) from error
        raise AssertionError

    # --- values ----------------------------------------------------------------------------

    def gets(self, keys: Iterable[str]) -> dict[str, tuple[bytes, Any]]:
        """Value and mark of each key that is there; a write with the mark fails if it changed."""
        found: dict[str, tuple[bytes, Any]] = {}
        for server, part in self._by_server(keys).items():
            found |= self._do(server, lambda client, part=part: client.gets_many(part))  # type: ignore[misc]
        return found

    def put(self, key: str, value: bytes, mark: Any, expire: int) -> bool:
        """Write where nothing has changed since the mark (None: where there is nothing)."""

        def write(client: Any) -> Any:
            if mark is None:
                return client.add(key, value, expire=expire)
            return client.cas(key, value, mark, expire=expire)

        return bool(self._do(self._server_of(key), write))

    def delete(self, keys: Iterable[str]) -> None:
        """Forget these keys."""
        for key in keys:
            self._do(self._server_of(key), lambda client, key=key: client.delete(key))  # type: ignore[misc]

    def _by_server(self, keys: Iterable[str]) -> dict[str, list[str]]:
        parts: dict[str, list[str]] = {}
        for key in dict.fromkeys(keys):
            parts.setdefault(self._server_of(key), []).append(key)
        return parts

    # --- servers ---------------------------------------------------------------------------

    def instances(self, keys: Iterable[str]) -> dict[str, Instance]:
        """The life of the server of each key."""
        lives: dict[str, Instance] = {}
        for server, part in self._by_server(keys).items():
            life = _instance(server, self._do(server, lambda client: client.stats()))
            lives |= dict.fromkeys(part, life)
        return lives

    def limit(self, key: str) -> int:
        """The bytes that the server of a key takes as one item."""
        settings: Mapping[bytes, Any] = self._do(
            self._server_of(key), lambda client: client.stats("settings")
        )
        return int(settings.get(b"item_size_max", 1024 * 1024))

    def close(self) -> None:
        """Close connections that nobody uses."""
        for client in self._clients.values():
            client.close()


def _instance(server: str, stats: Mapping[bytes, Any]) -> Instance:
    uptime = int(stats[b"uptime"]) - _FROM_THE_START
    return Instance(server, int(stats[b"pid"]), time.time() - uptime, time.monotonic() - uptime)


def _refused(server: str, error: Exception) -> Exception:
    text = error.args[0].decode("utf-8", "replace") if error.args else type(error).__name__
    if "too large" in text:
        return EncodeError(f"memcached at {server} says: {text}")
    if "out of memory" in text:
        return Unavailable(
            f"memcached at {server} says: {text}; give it more (-m), or let it evict (without -M)"
        )
    if "unauthenticated" in text:
        return ConfigError(
            f"memcached at {server} wants a login, which the client library cannot: let it listen "
            "at a private address without one"
        )
    return BrokerError(f"memcached at {server} says: {text}")


def _servers(url: Url) -> list[tuple[str, int]]:
    if url.user is not None or url.password is not None:
        raise ConfigError(
            f"{url}: the client library cannot log in to memcached; let the server listen at a "
            "private address, and write cache+memcached://host:port"
        )
    if url.path.strip("/"):
        raise ConfigError(f"{url}: memcached has no databases; write cache+memcached://host:port")
    unknown = sorted(url.options.keys() - _OPTIONS)
    if unknown:
        raise ConfigError(f"{url} has no option {', '.join(unknown)}; it has: {', '.join(_SHOWN)}")
    return url.servers(_PORT)


def _tls(url: Url) -> ssl.SSLContext | None:
    """How to speak to the servers, where they speak TLS; their names are checked."""
    if url.options.get("use_ssl", "") in {"", "0", "false"}:
        return None
    import ssl

    try:
        context = ssl.create_default_context(cafile=url.options.get("ca"))
        if "certfile" in url.options:
            context.load_cert_chain(url.options["certfile"], url.options.get("keyfile"))
    except OSError as error:
        raise ConfigError(f"{url}: its certificates cannot be read: {error}") from error
    return context


_named: Named[MemcachedServers] = Named()
