"""Nodes of the broker on ZooKeeper: where they are, what their names and data say.

::

    /penstock/queues/<queue>/messages/<rank>-<ready>-<number>   a message; its version is the fence
    /penstock/queues/<queue>/leases/<the same name>             ephemeral: who works on it
    /penstock/queues/<queue>/later/<the same name>~<time>       it was handed back and must wait
    /penstock/keys/<key>                  each publication once: where it is, how it was settled
    /penstock/settled/<time>/<key>        which of them may be forgotten when
    /penstock/dead/<key>    /penstock/revoked/<id>~<time>
    /penstock/news/<time>-<number>        /penstock/workers/<name>      ephemeral

The rank is 9 less the priority, a time is milliseconds. Names tell what may run, so that a claim
reads no more messages than it takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from penstock.engines.processes import Process
from penstock.errors import BrokerError
from penstock.message import DeadLetter, Lease, Message, PackedHeaders, new_id

__all__ = [
    "ROOT",
    "Held",
    "Holder",
    "Key",
    "Letter",
    "Place",
    "Unreadable",
    "Worker",
    "as_letter",
    "decode",
    "encode",
    "marked",
    "named",
    "prefix_of",
    "read_or_none",
    "split",
    "unnamed",
]

ROOT = "/penstock"
_HIGHEST = 9

encode = msgspec.msgpack.Encoder().encode


class Unreadable(BrokerError):
    """A node does not hold what its place says: somebody else wrote it."""


def decode(data: bytes, kind: type[Any]) -> Any:
    """What a node's data says; raises Unreadable."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise Unreadable(f"{kind.__name__}: {error}") from error


def read_or_none(data: bytes, kind: type[Any]) -> Any:
    """What a node's data says; None where somebody else wrote it."""
    try:
        return decode(data, kind)
    except Unreadable:
        return None


def marked(name: str, mark: str) -> tuple[str, int] | None:
    """A name of ours that ends with a mark and a number; None for one that somebody else gave."""
    text, _, number = name.rpartition(mark)
    return (text, int(number)) if number.isascii() and number.isdecimal() else None


def named(text: str) -> str:
    """Any text as the name of a node."""
    return quote(text, safe="").replace(".", "%2E")


def unnamed(name: str) -> str:
    """The text of such a name."""
    return unquote(name)


class Place(msgspec.Struct, frozen=True):
    """Where one message is."""

    queue: str
    name: str

    @property
    def message(self) -> str:
        """The node of the message."""
        return f"{queue_path(self.queue)}/messages/{self.name}"

    @property
    def lease(self) -> str:
        """The node of its lease."""
        return f"{queue_path(self.queue)}/leases/{self.name}"

    def later(self, at: float) -> str:
        """The node that has it wait until then."""
        return f"{queue_path(self.queue)}/later/{self.name}~{_milliseconds(at)}"


def queue_path(queue: str) -> str:
    """The node of a queue."""
    return f"{ROOT}/queues/{named(queue)}"


def _milliseconds(at: float) -> int:
    return max(0, math.ceil(at * 1000))


def prefix_of(message: Message) -> str:
    """The name of a message's node, but for its number."""
    rank = _HIGHEST - min(_HIGHEST, max(0, message.priority))
    return f"{rank}-{_milliseconds(message.ready_at):013d}-"


def split(name: str) -> tuple[int, float, int]:
    """Rank, wall time from which it may run, number.

    A name that somebody else gave is first in its turn: whoever claims it sees what it holds.
    """
    try:
        rank, ready, number = map(int, name.split("-", 2))
    except ValueError:
        return 0, 0.0, 0
    return rank, ready / 1000, number


class Held(msgspec.Struct, frozen=True):
    """A message and its history, as its node holds them."""

    id: str
    key: str
    headers: bytes  # JSON
    body: bytes
    priority: int
    ready_at: float
    expires_at: float | None
    properties: dict[str, Any]
    since: float  # wall time from which it could run
    attempt: int = 0
    deaths: int = 0
    leased: bool = False  # without a lease node: the holder died
    returned: int = -1  # the fence that handed it back last

    @classmethod
    def of(cls, message: Message, now: float) -> Held:
        """A publication that nobody has tried."""
        return cls(
            id=message.id,
            key=message.key,
            headers=PackedHeaders.of(message.headers).json,
            body=message.body,
            priority=message.priority,
            ready_at=message.ready_at,
            expires_at=message.expires_at,
            properties=_plain(message.properties),
            since=max(now, message.ready_at),
        )

    def message(self, queue: str) -> Message:
        """The message as it was published."""
        return Message(
            id=self.id,
            queue=queue,
            headers=PackedHeaders(self.headers),
            body=self.body,
            priority=self.priority,
            ready_at=self.ready_at,
            expires_at=self.expires_at,
            key=self.key,
            properties=self.properties,
        )

    def lease(self, queue: str, until: float, fence: int, *, revoked: bool) -> Lease:
        """The lease that begins with this state of it."""
        return Lease(self.message(queue), self.attempt, until, fence, self.deaths, revoked)


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    return dict(properties) if properties else {}


class Holder(msgspec.Struct, frozen=True):
    """Who works on a message, and until when by the ensemble's clock."""

    until: float
    process: Process


class Key(msgspec.Struct, frozen=True):
    """What became of a publication."""

    queue: str = ""
    name: str = ""  # of the message's node, once it was leased
    settled: int = -1  # the fence that ended it


class Letter(msgspec.Struct, frozen=True):
    """A dead letter."""

    queue: str
    held: Held
    reason: str
    attempts: int
    dead_at: float

    def letter(self) -> DeadLetter:
        """As people are shown it."""
        return DeadLetter(self.held.message(self.queue), self.reason, self.attempts, self.dead_at)


def as_letter(data: bytes, *, queue: str, name: str, reason: str, now: float) -> Letter:
    """A node that cannot be read, as a dead letter: its data is the body, for whoever wrote it."""
    held = Held(name, new_id(), b"{}", data, 0, 0.0, None, {}, now)
    return Letter(queue, held, reason, 0, now)


class Worker(msgspec.Struct, frozen=True):
    """A worker that is there."""

    name: str
    process: Process
    since: float
    info: dict[str, Any]
