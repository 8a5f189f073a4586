"""A live connection to a RabbitMQ server: channels by name, and what lives as long as it does."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from penstock.engines.amqp_errors import refused
from penstock.engines.amqp_limit import Limit
from penstock.errors import Unavailable

__all__ = ["Live", "Silent"]

V = TypeVar("V")

REPLY_TIMEOUT = 10.0  # seconds: a server that says nothing for so long is taken for gone


class Silent(OSError):
    """The server has not answered in time."""


class Live:
    """Touched only by the thread that owns the connection.

    ``epoch`` is new with each connection: what was delivered by an earlier one is not ours any
    more.
    """

    def __init__(
        self,
        connection: Any,
        *,
        epoch: int,
        where: object,
        arguments_of: Callable[[str], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        self.connection = connection
        self.sock = connection.sock  # its descriptor is -1 once it is closed
        self._transport = connection.transport
        self.epoch = epoch
        self.where = where
        self.arguments_of = arguments_of  # a queue that is to be made, by its name
        self.blocked = ""  # why the server takes nothing at present
        self._polls: dict[int, select.poll] = {}
        self._channels: dict[str, Any] = {}
        self._kept: dict[type[Any], Any] = {}
        connection.on_blocked = self._on_blocked
        connection.on_unblocked = self._on_unblocked

    def _on_blocked(self, reason: str) -> None:
        self.blocked = reason or "low on resources"

    def _on_unblocked(self) -> None:
        self.blocked = ""

    def kept(self, kind: type[V]) -> V:
        """The one object of that kind for this connection, made of it on first use."""
        found: V | None = self._kept.get(kind)
        if found is None:
            found = self._kept[kind] = kind(self)  # type: ignore[call-arg]
        return found

    def has(self, kind: type[V]) -> V | None:
        """The same, if it was made already."""
        return self._kept.get(kind)

    def is_broken(self, *channels: str) -> bool:
        """True when the server has closed one of them: what was delivered on it is not ours."""
        return any(name in self._channels and not self._channels[name].is_open for name in channels)

    def channel(self, name: str, opened: Callable[[Any], None] | None = None) -> Any:
        """The channel of that name; one that the server closed is opened anew."""
        channel = self._channels.get(name)
        if channel is None or not channel.is_open:
            channel = self._channels[name] = self._new_channel()
            if opened is not None:
                opened(channel)
        return channel

    def _new_channel(self) -> Any:
        channel = self.connection.channel()
        channel.auto_decode = False  # bodies are bytes to us
        return channel

    def on_a_channel_of_its_own(self, call: Callable[[Any], V]) -> V:
        """What a call gives that may make the server close its channel."""
        channel = self._new_channel()
        try:
            return call(channel)
        finally:
            if channel.is_open:
                channel.close()

    def pump(self, done: Callable[[], bool], timeout: float = REPLY_TIMEOUT) -> None:
        """Read what comes until ``done()``; raises Silent when nothing comes for ``timeout``."""
        while not done():
            self.read(timeout)

    def read(self, timeout: float = REPLY_TIMEOUT) -> None:
        """Read one thing; raises Silent."""
        try:
            self.connection.drain_events(timeout=timeout)
        except TimeoutError as error:
            raise Silent(f"it has said nothing for {timeout:g} s") from error

    def read_what_was_fetched(self) -> None:
        """Read what lies here already, of which the socket does not tell any more."""
        try:
            while self._transport.has_fetched():
                self.connection.drain_events(timeout=0)
        except TimeoutError:  # half of a thing: the socket tells of the rest
            return

    def is_readable(self) -> bool:
        """True when there is something to read."""
        there: bool = self._transport.has_fetched()
        return there or self._is_ready(select.POLLIN)

    def is_writable(self) -> bool:
        """True when a little can be sent without waiting for the server to read."""
        return self._is_ready(select.POLLOUT)

    def _is_ready(self, event: int) -> bool:
        poll = self._polls.get(event)
        if poll is None:
            poll = self._polls[event] = select.poll()
            poll.register(self.sock, event)
        return bool(poll.poll(0))

    def read_what_is_there(self) -> None:
        """Read all that has come already."""
        try:
            while self.is_readable():
                self.connection.drain_events(timeout=0)
        except TimeoutError:  # half of a thing
            return

    def wait(self, channel: Any, methods: Any) -> Any:
        """The next reply of these kinds on a channel, its members as a tuple; raises Silent."""
        try:
            return channel.wait(methods, timeout=REPLY_TIMEOUT, returns_tuple=True)
        except TimeoutError as error:
            raise Silent(f"it has said nothing for {REPLY_TIMEOUT:g} s") from error

    def beat(self) -> None:
        """Look after the connection's heart."""
        self.connection.heartbeat_tick()
        self.flush()

    def flush(self) -> None:
        """Send what was written and waits for somebody to read."""
        self._transport.flush()

    def read_for(self, seconds: float) -> None:
        """Read a frame, and look after the connection's heart when none comes.

        Not ``drain_events()``: that waits as long again after each frame that is not the last of
        its kind, a heartbeat for example.
        """
        try:
            self.connection.blocking_read(seconds)
        except TimeoutError:
            self.beat()

    @property
    def takes_nothing(self) -> str:
        """That, and why."""
        return (
            f"RabbitMQ at {self.where} takes no messages at present ({self.blocked}): its memory "
            "or disk alarm is on (rabbitmqctl status). Drain queues, or give it more"
        )

    def await_unblocked(self, limit: Limit) -> None:
        """Wait while the server takes nothing; raises Unavailable in the end."""
        if self.is_readable():
            self.read_what_is_there()
        while self.blocked:
            left = limit.left_before
            if left <= 0:
                raise Unavailable(f"{self.takes_nothing}; nothing was sent")
            self.read_for(min(left, 1.0))

    def refused(self, error: BaseException) -> Exception:
        """The error in our words."""
        return refused(error, self.where)
