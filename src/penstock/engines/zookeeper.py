"""A session with ZooKeeper: connected on first use, with errors of ours, bells and the time there.

The client library owns the connection on a thread of its own. Ephemeral nodes live as long as the
session: a process that dies is forgotten after the session's time-out, one that closes at once.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from penstock.engines.memory_bells import BellListener, Bells
from penstock.errors import BrokerError, ConfigError, PenstockError, Unavailable, Uncertain
from penstock.url import Url

__all__ = ["Session"]

R = TypeVar("R")

PORT = 2181
_OPTIONS = {"session", "max_message", "use_ssl", "ca", "certfile", "keyfile"}
_CONNECT_TIMEOUT = 5.0  # seconds
_REPLY_TIMEOUT = 10.0
_RECONNECT = 2.0  # seconds that a caller waits for a connection that is being made again
_MEASURE_EVERY = 60.0
_LARGEST = 1024 * 1024 - 1  # bytes of one request, as ZooKeeper is delivered (jute.maxbuffer)


class Session:
    """One client of one ensemble. Thread-safe; a forked child begins a session of its own."""

    def __init__(self, url: Url) -> None:
        unknown = sorted(url.options.keys() - _OPTIONS)
        if unknown:
            known = ", ".join(sorted(_OPTIONS))
            raise ConfigError(f"{url} has no option {', '.join(unknown)}; it has: {known}")
        self.url = url
        self.hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in _servers(url))
        self.timeout = _number(url, "session", 10.0)
        self.largest = int(_number(url, "max_message", _LARGEST))
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._client: Any = None
        self.bells = Bells()
        self._armed: set[str] = set()

    # --- connecting ----------------------------------------------------------------------

    def client(self) -> Any:
        """The library's client, connected; raises Unavailable or ConfigError."""
        if self._pid != os.getpid():
            self._start_afresh()  # what the parent holds is the parent's, its threads did not come
        with self._lock:
            if self._client is None:
                self._client = self._connected()
            client = self._client
        if not client.connected:
            deadline = time.monotonic() + _RECONNECT
            pause = threading.Event()
            while not client.connected and time.monotonic() < deadline:
                pause.wait(0.02)
            if not client.connected:
                raise Unavailable(f"ZooKeeper at {self.url} cannot be reached; is it running?")
        return client

    def _connected(self) -> Any:
        try:
            from kazoo.client import KazooClient
            from kazoo.retry import KazooRetry
            from kazoo.security import make_digest_acl

            from penstock.engines.zookeeper_patience import PatientHandler
        except ImportError as error:
            raise ConfigError(
                f"{self.url.scheme}:// needs kazoo: pip install 'penstock[zookeeper]'"
            ) from error
        options: dict[str, Any] = {}
        if self.url.user is not None:
            login = (self.url.user, self.url.password or "")
            options["auth_data"] = [("digest", ":".join(login))]
            options["default_acl"] = [make_digest_acl(*login, all=True)]
        if self.url.options.get("use_ssl", "") not in {"", "0", "false"}:
            names = ("ca", "certfile", "keyfile")
            options |= {name: self.url.options.get(name) for name in names} | {"use_ssl": True}
        handler = PatientHandler()
        client = KazooClient(
            hosts=self.hosts,
            timeout=self.timeout,
            handler=handler,
            connection_retry=KazooRetry(max_tries=-1, delay=0.05, backoff=2, max_delay=0.5),
            **options,
        )
        handler.is_connected = lambda: client.connected
        try:
            client.start(_CONNECT_TIMEOUT)
        except Exception as error:
            client.stop()
            client.close()
            raise self._translated(error, connecting=True) from error
        client.add_listener(self._on_state)
        try:
            # The library warns of a root that is not there; so it is made before it is one.
            root = self.url.path.rstrip("/")
            client.ensure_path(root or "/")
            client.chroot = root
        except Exception as error:
            client.stop()
            client.close()
            raise self._translated(error, connecting=True) from error
        return client

    @property
    def id(self) -> int:
        """The number of the session, as ephemeral nodes name their owner."""
        number: int = self.client().client_id[0]
        return number

    def close(self) -> None:
        """End the session: its ephemeral nodes go at once."""
        if self._pid != os.getpid():
            self._start_afresh()
        with self._lock:
            client, self._client = self._client, None
            self._armed.clear()
        if client is not None:
            client.stop()
            client.close()

    # --- asking --------------------------------------------------------------------------

    def ask(self, calls: Iterable[Callable[[Any], Any]]) -> list[Any]:
        """Begin all these calls, then wait for each; gives replies, and None for what is no node.

        A call gets the client and gives the library's asynchronous result.
        """
        from kazoo import exceptions

        client = self.client()
        begun = [call(client) for call in calls]
        replies: list[Any] = []
        for one in begun:
            try:
                replies.append(one.get(timeout=_REPLY_TIMEOUT))
            except exceptions.NoNodeError:
                replies.append(None)
            except Exception as error:
                raise self._translated(error) from error
        return replies

    def change(self, changes: Sequence[Sequence[tuple[Any, ...]]]) -> list[Exception | None]:
        """Carry out changes, each wholly or not at all; gives None, or why it was not done.

        A change is a list of calls of the library's transactions: ``("delete", path, version)``.
        """
        client = self.client()
        begun = []
        for change in changes:
            transaction = client.transaction()
            for name, *words in change:
                getattr(transaction, name)(*words)
            begun.append(transaction.commit_async())
        return [self._outcome(one) for one in begun]

    def _outcome(self, begun: Any) -> Exception | None:
        from kazoo import exceptions

        try:
            replies = begun.get(timeout=_REPLY_TIMEOUT)
        except Exception as error:
            raise self._translated(error) from error
        wrong = [reply for reply in replies if isinstance(reply, Exception)]
        told = [
            reply
            for reply in wrong
            if not isinstance(reply, exceptions.RolledBackError | exceptions.RuntimeInconsistency)
        ]
        for refused in told:
            if isinstance(refused, exceptions.NoAuthError | exceptions.AuthFailedError):
                raise self._translated(refused) from refused
        return next(iter(told or wrong), None)

    def ensure(self, *paths: str) -> None:
        """Have these nodes be there, with those above them."""
        client = self.client()
        for path in paths:
            try:
                client.ensure_path(path)
            except Exception as error:
                raise self._translated(error) from error

    def _translated(self, error: Exception, *, connecting: bool = False) -> PenstockError:
        from kazoo import exceptions
        from kazoo.handlers.threading import KazooTimeoutError

        where = f"ZooKeeper at {self.url}"
        if isinstance(error, PenstockError):
            return error
        if isinstance(error, exceptions.NoAuthError | exceptions.AuthFailedError):
            return ConfigError(
                f"{where} forbids it: the URL's user name or password is wrong, or its nodes "
                "belong to somebody else"
            )
        if connecting and isinstance(error, KazooTimeoutError | OSError):
            return Unavailable(
                f"{where} cannot be reached: {error or 'no reply'}; is it running, and is the "
                "address right?"
            )
        lost = (
            exceptions.ConnectionLoss, exceptions.SessionExpiredError,
            exceptions.ConnectionClosedError, exceptions.OperationTimeoutError, KazooTimeoutError,
            OSError,
        )  # fmt: skip
        if isinstance(error, lost):
            return Uncertain(f"{where} was lost before it replied ({type(error).__name__})")
        return BrokerError(f"{where} says: {type(error).__name__} {error}".rstrip())

    # --- the time there ------------------------------------------------------------------

    def time(self) -> float:
        """Seconds by the ensemble's clock, as one look at it in a minute tells."""
        with _measuring:
            known = _offsets.get(self.hosts)
            if known is None or time.monotonic() - known[1] > _MEASURE_EVERY:
                known = _offsets[self.hosts] = self._measured()
        return known[0] + time.monotonic()

    def _measured(self) -> tuple[float, float]:
        def look(client: Any) -> Any:
            return client.create_async(
                "/penstock-time-", ephemeral=True, sequence=True, include_data=True
            )

        before = time.monotonic()
        ((path, stat),) = self.ask([look])
        after = time.monotonic()
        self.ask([lambda client: client.delete_async(path)])
        return stat.ctime / 1000 - (before + after) / 2, after

    # --- bells ---------------------------------------------------------------------------

    def listen(self, paths: tuple[str, ...]) -> BellListener:
        """A listener for changes of the children of these nodes, which are made."""
        self.ensure(*paths)
        listener = self.bells.listen(paths)
        try:
            self.ask(
                [
                    lambda client, path=path: client.get_children_async(path, watch=self._rung)  # type: ignore[misc]
                    for path in paths
                    if self._is_new(path)
                ]
            )
        except BaseException:
            listener.close()
            with self._lock:
                self._armed.difference_update(paths)
            raise
        return listener

    def _is_new(self, path: str) -> bool:
        with self._lock:
            new = path not in self._armed
            self._armed.add(path)
            return new

    def _rung(self, event: Any) -> None:
        """On a thread of the library's, which must not wait."""
        path = event.path
        client = self._client
        if path is None or client is None:
            return
        if self.bells.has(path):
            # Asked before the ring, so the server watches again before whoever hears it looks.
            self._watch(client, path)
        else:
            with self._lock:
                self._armed.discard(path)
        self.bells.ring([path])

    def _watch(self, client: Any, path: str) -> None:
        """Be told of the next change; nobody waits for the reply."""
        from kazoo.exceptions import NoNodeError

        def replied(reply: Any) -> None:
            if isinstance(reply.exception, NoNodeError):  # somebody removed it
                client.handler.spawn(self._have_again, client, path)

        client.get_children_async(path, watch=self._rung).rawlink(replied)

    def _have_again(self, client: Any, path: str) -> None:
        """Make a node anew that is listened to: without it nobody would be told any more."""
        with contextlib.suppress(Exception):  # the connection is lost: then all are looked at anew
            client.ensure_path(path)
            self._watch(client, path)
        self.bells.ring([path])

    def _on_state(self, state: str) -> None:
        """What happened while the connection was lost, nobody was told."""
        client = self._client
        if state == "CONNECTED" and client is not None:
            client.handler.spawn(self._look_anew, client)

    def _look_anew(self, client: Any) -> None:
        with self._lock:
            paths = list(self._armed)
        for path in paths:
            self._watch(client, path)
        self.bells.ring(paths)

    def __repr__(self) -> str:
        return f"Session({str(self.url)!r})"


def _servers(url: Url) -> list[tuple[str, int]]:
    return url.servers(PORT)


def _number(url: Url, name: str, default: float) -> float:
    try:
        number = float(url.options.get(name, default))
    except ValueError:
        number = -1.0
    if number <= 0:
        raise ConfigError(f"{url}: {name} is a number above 0")
    return number


_offsets: dict[str, tuple[float, float]] = {}  # of servers: (there minus here, when measured)
_measuring = threading.Lock()


def _after_fork() -> None:
    global _measuring  # noqa: PLW0603 - another thread of the parent may have held it
    _measuring = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
