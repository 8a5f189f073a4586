"""A RabbitMQ server as an engine: exchanges are carried out by the threads that own connections.

There are two connections. A server that runs out of memory stops reading from those that publish;
so what claims and acknowledges must never publish, or nothing could be finished any more. A third
hears what is said to whoever listens, once somebody does.
"""

from __future__ import annotations

import os
import ssl
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from penstock.engines.amqp_ears import Ears
from penstock.engines.amqp_errors import code_of, refused, said
from penstock.engines.amqp_limit import Limit, check_late, end_of, reply_within
from penstock.engines.amqp_line import Line
from penstock.engines.amqp_live import REPLY_TIMEOUT, Live
from penstock.engines.memory_bells import ahear
from penstock.errors import ConfigError, Unavailable
from penstock.plan import Command, Exchange, Wait
from penstock.url import Url

if TYPE_CHECKING:
    import asyncio

__all__ = ["SCHEMES", "AmqpServer", "Out", "number"]

SCHEMES = ("amqp", "amqps", "pyamqp")
_CONNECT_TIMEOUT = 5.0  # seconds
_WRITE_TIMEOUT = 10.0
HEARTBEAT = 7.0  # under half of a lease: a holder that is cut off loses what it has in time


class Out(Exchange, frozen=True):
    """An exchange for the connection that publishes and declares.

    With a limit whoever waits for its reply is told when that is over, whatever holds it up: so
    it is the thread's to do, unless it ``fits`` the connection as it is.
    """

    limit: Limit | None = None
    fits: Callable[[Live], bool] | None = None  # nothing but its limit can hold it up


class AmqpServer:
    """The engine on one virtual host of one server. Thread-, loop- and fork-safe."""

    def __init__(
        self,
        url: Url,
        *,
        lost: Callable[[], None] | None = None,
        beat: Callable[[Live], None] | None = None,
        beat_out: Callable[[Live], None] | None = None,
    ) -> None:
        self.url = url
        self.arguments_of: Callable[[str], Mapping[str, Any]] = lambda _: {}  # of missing queues
        self.heartbeat = number(url, "heartbeat", HEARTBEAT)
        self._server = 0  # the one to try first, where the address names several
        self._out = Line(self._connected, name="out", heartbeat=self.heartbeat, beat=beat_out)
        self._custody = Line(
            self._connected, name="custody", heartbeat=self.heartbeat, lost=lost, beat=beat
        )
        self.ears = Ears(self._connected, heartbeat=self.heartbeat, where=url)
        _engines.add(self)

    def start_afresh_in_child(self) -> None:
        """A forked child has connections and threads of its own."""
        self._out.start_afresh()
        self._custody.start_afresh()
        self.ears.start_afresh()

    # --- exchanges ---------------------------------------------------------------------------

    def _line(self, command: Exchange) -> Line:
        return self._out if isinstance(command, Out) else self._custody

    def execute(self, command: Command) -> Any:
        """Carry it out, blocking."""
        if isinstance(command, Exchange):
            line, limit = self._line(command), _limit_of(command)
            fits = _fits(command)
            reply = line.at_once(command.run, fits) if limit is None or fits else None
            if reply is not None:
                return reply.result()
            return reply_within(line.submit(command.run), limit, self.url)
        if isinstance(command, Wait):
            return command.listener.wait(command.timeout)
        raise TypeError(f"this engine opens no bells: {command!r}")

    async def aexecute(self, command: Command) -> Any:
        """Carry it out; the loop is free meanwhile."""
        if isinstance(command, Exchange):
            return await self._areply(command)
        if isinstance(command, Wait):
            return await ahear(command.listener, command.timeout)
        raise TypeError(f"this engine opens no bells: {command!r}")

    async def _areply(self, command: Exchange) -> Any:
        import asyncio

        limit = _limit_of(command)
        future = self._line(command).submit(command.run)
        if limit is None:
            return await asyncio.wrap_future(future)
        reply = asyncio.wrap_future(future)
        reply.add_done_callback(_seen)  # also where nobody waits any more
        try:
            while not (await asyncio.wait({reply}, timeout=end_of(limit)))[0]:
                check_late(future, limit, self.url)
        except asyncio.CancelledError:
            reply.cancel()
            raise
        return reply.result()

    def borrow_custody(self) -> Line | None:
        """What brings deliveries, for a loop that waits for them; None where it is in use."""
        return self._custody if self._custody.borrow() else None

    def post(self, exchange: Exchange) -> None:
        """Have it carried out soon; what goes wrong is nobody's business."""
        self._line(exchange).submit(exchange.run)

    @property
    def is_used(self) -> bool:
        """True while something may be held here."""
        return self._custody.is_used

    def close(self) -> None:
        """Give connections and threads up; they are made again when needed."""
        self.ears.close()
        self._out.close()
        self._custody.close()

    # --- connecting --------------------------------------------------------------------------

    def _connected(self, epoch: Callable[[], int]) -> Live:
        """A new connection; raises Unavailable, ConfigError.

        Of several servers it is the one that was there last, or the next that is.
        """
        servers = self.url.servers(5671 if self.url.scheme == "amqps" else 5672)
        for left in reversed(range(len(servers))):
            try:
                connection = self._connection_to(*servers[self._server % len(servers)])
            except Unavailable:
                self._server += 1
                if not left:
                    raise
            else:
                break
        return Live(
            connection,
            epoch=epoch(),
            where=self.url,
            arguments_of=self.arguments_of,
        )

    def _connection_to(self, host: str, port: int) -> Any:
        connection = self._library_connection(host, port)
        import amqp

        try:
            connection.connect()
        except amqp.AMQPError as error:
            if code_of(error):
                raise refused(error, self.url) from error
            raise self._unreachable(error) from error
        except OSError as error:
            raise self._unreachable(error) from error
        return connection

    def _unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"RabbitMQ at {self.url} cannot be reached: {said(error)}; is it running, and is the "
            "address right?"
        )

    def _library_connection(self, host: str, port: int) -> Any:
        url = self.url
        try:
            import amqp
        except ImportError as error:
            raise ConfigError(
                f"{url.scheme}:// needs py-amqp: pip install 'penstock[amqp]'"
            ) from error
        from penstock.engines.amqp_channel import MortalChannel
        from penstock.engines.amqp_transport import transport_to

        connection = amqp.Connection(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            userid=url.user or "guest",
            password="guest" if url.password is None else url.password,  # the server's own default
            login_method=url.options.get("login_method", "PLAIN"),
            virtual_host=url.path.removeprefix("/") or "/",
            ssl=_secured(url, host) if url.scheme == "amqps" else False,
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=REPLY_TIMEOUT,  # of replies for which the library knows no other limit
            write_timeout=_WRITE_TIMEOUT,
            heartbeat=int(self.heartbeat),
            client_properties={"product": "penstock", "connection_name": f"penstock {os.getpid()}"},
        )
        connection.Channel = MortalChannel
        connection.Transport = transport_to
        return connection

    def __repr__(self) -> str:
        return f"AmqpServer({str(self.url)!r})"


def _seen(reply: asyncio.Future[Any]) -> None:
    if not reply.cancelled():
        reply.exception()


def _limit_of(command: Exchange) -> Limit | None:
    return command.limit if isinstance(command, Out) else None


def _fits(command: Exchange) -> Callable[[Live], bool] | None:
    return command.fits if isinstance(command, Out) else None


def number(url: Url, option: str, default: float) -> float:
    """A number of seconds (or the like) among the URL's options; raises ConfigError."""
    text = url.options.get(option)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise ConfigError(f"the option {option} of {url} is a positive number, not {text!r}")
    return value


def _secured(url: Url, host: str) -> dict[str, Any]:
    """What the library wants to know of TLS; the options are named as in redis URLs."""
    checks = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
    wanted = url.options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if wanted not in checks:
        raise ConfigError(f"ssl_cert_reqs of {url} is one of {', '.join(checks)}, not {wanted!r}")
    said = {
        "ca_certs": url.options.get("ssl_ca_certs"),
        "certfile": url.options.get("ssl_certfile"),
        "keyfile": url.options.get("ssl_keyfile"),
    }
    settings: dict[str, Any] = {name: value for name, value in said.items() if value}
    settings["cert_reqs"] = checks[wanted]
    if checks[wanted] is not ssl.CERT_NONE:
        settings["server_hostname"] = host
    return settings


_engines: weakref.WeakSet[AmqpServer] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in list(_engines):
        engine.start_afresh_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
