"""Items as messages: typed JSON in the body, and in the headers what every broker can keep.

The headers have the form of a task's, for on some brokers the envelope tells moments by them and
would look for them in the body where no task is named. No task is called so: a worker that is
pointed at such a queue by mistake keeps its items aside, unharmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

import msgspec

from penstock.brokers.base import Capabilities
from penstock.errors import ConfigError, DecodeError, EncodeError
from penstock.message import Message, PackedHeaders, new_id, new_ids
from penstock.wire.body import read_body
from penstock.wire.codec import LIMITS, dumps, loads
from penstock.wire.names import is_name
from penstock.wire.times import write_moment
from penstock.wire.wishes import Priority, start_time, wall_time, wire_priority

__all__ = ["PLAIN", "PutKeywords", "Wishes", "pack", "pack_many", "queue_name", "read", "wishes"]

_PREFIX = "penstock.queue."
_TASK = b"penstock.item"
_LONGEST_NAME = 200  # characters: RabbitMQ takes 255 bytes, prefix included


class PutKeywords(TypedDict, total=False):
    """What ``put`` takes besides the item. ``None`` is the same as not given."""

    countdown: float | None  # seconds before which nobody gets it
    eta: datetime | float | None  # the same as a time: aware, or naive in UTC, or Unix time
    expires: datetime | timedelta | float | None  # not after: a time, or seconds from now
    priority: Priority | None  # 0 to 9, or "high" or "low"


class Wishes(msgspec.Struct, frozen=True):
    """The same, as a message says it."""

    priority: int = 0
    ready_at: float = 0.0
    expires_at: float | None = None
    headers: bytes = b""  # JSON members after the id


PLAIN: Final = Wishes()


def queue_name(name: str) -> str:
    """The queue on the broker, where no task's queue has its name; raises ConfigError."""
    if not (is_name(name) and len(name.encode()) <= _LONGEST_NAME and name.isprintable()):
        raise ConfigError(
            f"a queue is named by 1 to {_LONGEST_NAME} printable characters, not {name!r:.80}"
        )
    return _PREFIX + name


def wishes(given: Mapping[str, Any], *, now: float, able: Capabilities) -> Wishes:
    """What was wished for; raises ConfigError for what is no wish, or cannot be fulfilled."""
    unknown = given.keys() - PutKeywords.__annotations__.keys()
    if unknown:
        raise ConfigError(
            f"put has no option {', '.join(sorted(unknown))}; "
            f"it has: {', '.join(PutKeywords.__annotations__)}"
        )
    priority, expires = given.get("priority"), given.get("expires")
    if priority is not None and not able.priorities:
        raise ConfigError("this broker knows no priorities: put without one")
    start = start_time(given.get("countdown"), given.get("eta"), now)
    if start is not None and not able.delays:
        raise ConfigError("this broker keeps nothing until a time: put without countdown and eta")
    end = None if expires is None else wall_time(expires, now, relative=True)
    return Wishes(
        priority=0
        if priority is None
        else wire_priority(priority, highest_first=able.highest_first),
        ready_at=start or 0.0,
        expires_at=end,
        headers=_moment("eta", start) + _moment("expires", end),
    )


def _moment(name: str, seconds: float | None) -> bytes:
    return b"" if seconds is None else f',"{name}":"{write_moment(seconds)}"'.encode("ascii")


def pack(item: Any, queue: str, wishes: Wishes = PLAIN) -> Message:
    """The item as a message; raises EncodeError where it has no form."""
    return _message(new_id(), queue, _encode(item), wishes)


def pack_many(items: Iterable[Any], queue: str, wishes: Wishes = PLAIN) -> list[Message]:
    """The same for many; an error says which of them it was."""
    bodies = []
    for place, item in enumerate(items):
        try:
            bodies.append(_encode(item))
        except EncodeError as error:
            raise EncodeError(f"item {place}: {error}") from error
    return [
        _message(key, queue, body, wishes)
        for key, body in zip(new_ids(len(bodies)), bodies, strict=True)
    ]


def _message(key: str, queue: str, body: bytes, wishes: Wishes) -> Message:
    headers = b'{"task":"%s","id":"%s"%s}' % (_TASK, key.encode("ascii"), wishes.headers)
    return Message(
        key,
        queue,
        PackedHeaders(headers),
        body,
        wishes.priority,
        wishes.ready_at,
        wishes.expires_at,
        key,
    )


def _encode(item: Any) -> bytes:
    body = dumps(item)
    if b'"__type__"' in body:  # a date, say; or a map that only looks like one
        try:
            loads(body)
        except DecodeError as error:
            raise EncodeError(
                f"could not be read again ({error}): __type__ beside __value__ marks the types "
                "that JSON lacks, use other keys"
            ) from error
    return body


def read(message: Message) -> Any:
    """The item of a message; raises DecodeError."""
    return read_body(message, LIMITS)
