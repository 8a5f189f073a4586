"""What supervisor, zygote and executors say to each other: values and their frames.

Everything is MessagePack. On stream sockets each value is preceded by its length (four bytes,
big-endian); on packet sockets one packet is one value. Bodies and result documents stay bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.errors import PenstockError
from penstock.message import Message, PackedHeaders

__all__ = [
    "Begun",
    "Exited",
    "Failure",
    "Finished",
    "FrameReader",
    "FromExecutor",
    "FromZygote",
    "Hand",
    "Kill",
    "Late",
    "Leaving",
    "Manifest",
    "Nonsense",
    "Progress",
    "Ready",
    "Rejected",
    "Retried",
    "Spawn",
    "Spawned",
    "TaskPolicy",
    "ToZygote",
    "Unreadable",
    "frame",
    "pack_hand",
    "unpack_hand",
]

_LENGTH_BYTES = 4
_LONGEST = 2**31  # bytes in a frame: more is no length


class Nonsense(PenstockError):
    """What came from the other side is no frame, or answers nothing that was asked."""


class TaskPolicy(msgspec.Struct, frozen=True, array_like=True):
    """What the supervisor must know of a task. Limits are seconds."""

    acks_late: bool = True
    reject_on_worker_lost: bool = True  # a crash is not its end: it runs again, up to the limit
    ignore_result: bool = False
    track_started: bool = False
    rate_limit: str | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None


class Manifest(msgspec.Struct, frozen=True, tag=True):
    """What the zygote found when it imported the app."""

    app: str
    broker: str
    backend: str
    settings: Mapping[str, Any]
    tasks: Mapping[str, TaskPolicy]
    queues: tuple[str, ...]


class Failure(msgspec.Struct, frozen=True, tag=True):
    """The app could not be imported: what to show, once."""

    text: str


class Spawned(msgspec.Struct, frozen=True, tag=True):
    """An executor was forked."""

    slot: int
    pid: int


class Exited(msgspec.Struct, frozen=True, tag=True):
    """An executor is gone; ``status`` is its exit code, or minus the signal that killed it."""

    slot: int
    pid: int
    status: int


FromZygote = Manifest | Failure | Spawned | Exited


class Spawn(msgspec.Struct, frozen=True, tag=True):
    """Fork an executor; its two descriptors (tasks, replies) come along."""

    slot: int
    worker: str  # the name that the worker got


class Kill(msgspec.Struct, frozen=True, tag=True):
    """Send a signal to an executor that was not reaped yet (so never to a reused pid)."""

    slot: int
    signal: int


ToZygote = Spawn | Kill


class Hand(msgspec.Struct, frozen=True, array_like=True):
    """One message handed to an executor. ``tag`` is the supervisor's number for it."""

    tag: int
    message: Message
    attempt: int
    announce: bool  # say Begun before the run
    soft: float | None = None  # seconds
    deadline: float = math.inf  # of the boot clock: it must not begin later, its lease may be over


class Ready(msgspec.Struct, frozen=True, tag=1, array_like=True):
    """The executor takes tasks."""


class Begun(msgspec.Struct, frozen=True, tag=2, array_like=True):
    """The task starts now."""

    tag: int


class Progress(msgspec.Struct, frozen=True, tag=3, array_like=True):
    """A state of a running task, to be stored."""

    tag: int
    state: str
    document: bytes

    def __repr__(self) -> str:
        """Without the document."""
        return f"<Progress {self.tag}: {self.state!r}>"


class Finished(msgspec.Struct, frozen=True, tag=4, array_like=True):
    """The run ended. No document: nothing is to be stored. ``runtime`` is seconds."""

    tag: int
    state: str
    document: bytes | None
    runtime: float

    def __repr__(self) -> str:
        """Without the document."""
        return f"<Finished {self.tag}: {self.state!r}>"


class Retried(msgspec.Struct, frozen=True, tag=5, array_like=True):
    """The task asks to be run again, as ``message``."""

    tag: int
    message: Message
    document: bytes | None
    runtime: float

    def __repr__(self) -> str:
        """Without the document."""
        return f"<Retried {self.tag}: {self.message.id!r}>"


class Rejected(msgspec.Struct, frozen=True, tag=6, array_like=True):
    """The task refused its message: a dead letter, or back to the queue."""

    tag: int
    reason: str
    requeue: bool
    document: bytes | None
    runtime: float

    def __repr__(self) -> str:
        """Without the document."""
        return f"<Rejected {self.tag}: {self.reason!r}>"


class Leaving(msgspec.Struct, frozen=True, tag=7, array_like=True):
    """The executor takes no more tasks and will exit: it has run as many as it may."""


class Unreadable(msgspec.Struct, frozen=True, tag=8, array_like=True):
    """The body cannot be read, or names no task of this process; ``reason`` says what is wrong."""

    tag: int
    reason: str


class Late(msgspec.Struct, frozen=True, tag=9, array_like=True):
    """Not begun: its deadline was over when the executor came to it."""

    tag: int


FromExecutor = (
    Ready | Begun | Progress | Finished | Retried | Rejected | Leaving | Unreadable | Late
)


class _Packet(msgspec.Struct, array_like=True):
    """A hand as it travels: headers that are text stay text."""

    tag: int
    attempt: int
    announce: bool
    soft: float | None
    deadline: float
    id: str
    queue: str
    headers: bytes | dict[str, Any]
    body: bytes
    priority: int
    ready_at: float
    expires_at: float | None
    key: str
    properties: Mapping[str, Any]


_encoder = msgspec.msgpack.Encoder()
_decode_packet = msgspec.msgpack.Decoder(_Packet).decode
_NO_VALUE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def pack_hand(hand: Hand) -> bytes:
    """A hand as one packet."""
    m = hand.message
    headers = m.headers.json if type(m.headers) is PackedHeaders else dict(m.headers)
    return _encoder.encode(
        (
            hand.tag, hand.attempt, hand.announce, hand.soft, hand.deadline, m.id, m.queue,
            headers, m.body, m.priority, m.ready_at, m.expires_at, m.key, m.properties,
        )
    )  # fmt: skip


def unpack_hand(data: bytes | memoryview) -> Hand:
    """The hand in a packet; raises Nonsense."""
    try:
        p = _decode_packet(data)
    except _NO_VALUE as error:
        raise Nonsense(f"{len(data)} bytes are no task: {error}") from error
    headers = PackedHeaders(p.headers) if isinstance(p.headers, bytes) else p.headers
    message = Message(
        p.id, p.queue, headers, p.body, p.priority, p.ready_at, p.expires_at, p.key, p.properties
    )
    return Hand(p.tag, message, p.attempt, p.announce, p.soft, p.deadline)


def frame(value: object) -> bytes:
    """A value as a frame for a stream socket."""
    data = _encoder.encode(value)
    return len(data).to_bytes(_LENGTH_BYTES) + data


class FrameReader:
    """Cuts a byte stream back into values. ``kind`` is the union that is expected."""

    def __init__(self, kind: Any) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Add bytes; give the values that are complete now. Raises Nonsense."""
        buffer = self._buffer
        buffer += data
        values = []
        start = 0
        with memoryview(buffer) as view:
            while len(buffer) - start >= _LENGTH_BYTES:
                body = start + _LENGTH_BYTES
                length = int.from_bytes(view[start:body])
                stop = body + length
                if len(buffer) < stop:
                    if length > _LONGEST:
                        raise Nonsense(f"a frame of {length} bytes was announced")
                    break
                values.append(self._read(view[body:stop]))
                start = stop
        del buffer[:start]
        return values

    def _read(self, data: memoryview) -> Any:
        try:
            return self._decode(data)
        except _NO_VALUE as error:
            raise Nonsense(f"{len(data)} bytes are no value: {error}") from error
