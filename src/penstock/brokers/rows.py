"""Messages as rows of a table, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.message import DeadLetter, Lease, Message, PackedHeaders
from penstock.wire.codec import LIMITS
from penstock.wire.plain import plain_header

__all__ = [
    "as_json",
    "changed_row",
    "dead_letter",
    "from_json",
    "lease",
    "message",
    "message_row",
    "order",
]

READY, DELAYED = 0, 1

UNREADABLE = "penstock-unreadable"  # a header that says why

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def as_json(values: Mapping[str, Any]) -> bytes:
    """Headers or properties as they are stored; raises EncodeError."""
    return PackedHeaders.of(values).json if values else b""


def from_json(data: bytes) -> dict[str, Any]:
    """What :func:`as_json` was given; a row that somebody else wrote wrong says so in a header.

    Its message is kept aside by whoever leases it, and holds up nobody behind it.
    """
    try:
        return _decode(data) if data else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return {UNREADABLE: str(error)}


def _headers(data: bytes | str) -> Mapping[str, Any]:
    """Ordinary headers stay text; others are read now, which shows what is wrong with them."""
    if isinstance(data, str):  # PostgreSQL's JSON
        data = data.encode()
    packed = PackedHeaders(data)
    return from_json(data) if plain_header(packed, LIMITS) is None else packed


def message_row(message: Message, now: float, at: float = 0.0) -> tuple[object, ...]:
    """The values that ``publish`` takes, for a message that arrives at wall time ``now``."""
    ready_at = message.ready_at if message.ready_at > at else at  # noqa: FURB136 - a third of max()
    headers, properties = message.headers, message.properties
    return (
        message.key,
        message.id,
        message.queue,
        DELAYED if ready_at > now else READY,
        message.priority,
        now,
        ready_at,
        message.expires_at,
        headers.json if type(headers) is PackedHeaders else as_json(headers),
        as_json(properties) if properties else b"",
        message.body,
    )


def changed_row(message: Message, at: float, fence: int, now: float) -> tuple[object, ...]:
    """The values that ``hand_back`` takes."""
    key, task_id, queue, state, priority, _, *rest = message_row(message, now, at)
    ready_at, expires_at, *content = rest
    return (state, priority, ready_at, expires_at, queue, task_id, *content, key, fence)


def message(row: Sequence[Any]) -> Message:
    """From key, id, queue, priority, ready_at, expires_at, headers, properties, body."""
    key, task_id, queue, priority, ready_at, expires_at, headers, properties, body = row
    return Message(
        task_id,
        queue,
        _headers(headers),
        body,
        priority,
        ready_at,
        expires_at,
        key,
        from_json(properties),
    )


def lease(row: Sequence[Any]) -> Lease:
    """From what ``next_ready`` and ``claimed`` give."""
    _, key, task_id, queue, priority, attempt, deaths, until, *content, revoked = row
    told = message((key, task_id, queue, priority, *content))
    return Lease(told, attempt, until, attempt, deaths, bool(revoked))


def order(row: Sequence[Any]) -> tuple[int, int]:
    """What sorts claimed rows: higher priority first, then the older."""
    return -row[4], row[0]


def dead_letter(row: Sequence[Any]) -> DeadLetter:
    """From a row of ``dead``."""
    *told, reason, attempts, dead_at = row
    return DeadLetter(message(told), reason, attempts, dead_at)
