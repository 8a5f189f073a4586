"""Notes: what processes say to each other beside tasks, as Celery addresses and wraps it.

A note is not kept for anybody: who listens at its exchange hears it. Requests and answers of
remote control and events are notes; their bodies are JSON.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.errors import DecodeError
from penstock.message import new_id
from penstock.wire.codec import LIMITS, Limits, dumps, loads

__all__ = ["Note", "pack_note", "unpack_note"]

_TRANSIENT = 1  # the delivery mode


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A body and whom it is for. ``routing_key`` is empty where all at the exchange shall hear."""

    exchange: str
    routing_key: str = ""
    headers: Mapping[str, Any] = {}
    body: bytes = b""
    delivery_mode: int = _TRANSIENT

    def __repr__(self) -> str:
        """Where it goes, without what it says."""
        return f"<Note to {self.exchange!r} {self.routing_key!r}, {len(self.body)} bytes>"


def pack_note(note: Note) -> bytes:
    """Its envelope on Redis: what is published in a channel or pushed to a list."""
    return dumps({
        "body": binascii.b2a_base64(note.body, newline=False).decode("ascii"),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": dict(note.headers),
        "properties": {
            "delivery_mode": note.delivery_mode,
            "delivery_info": {"exchange": note.exchange, "routing_key": note.routing_key},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": new_id(),
        },
    })  # fmt: skip


class _Where(msgspec.Struct):
    exchange: str = ""
    routing_key: str = ""


class _Properties(msgspec.Struct):
    delivery_info: _Where = msgspec.field(default_factory=_Where)
    delivery_mode: int = _TRANSIENT
    body_encoding: str | None = None


class _Envelope(msgspec.Struct, rename="kebab"):
    body: str
    headers: dict[str, Any] = {}
    properties: _Properties = msgspec.field(default_factory=_Properties)
    content_type: str = "application/json"


def unpack_note(data: bytes, *, limits: Limits = LIMITS) -> Note:
    """The note in an envelope; raises DecodeError."""
    value = loads(data, limits=limits)
    try:
        envelope = msgspec.convert(value, _Envelope)
        body = _body(envelope)
    except (msgspec.ValidationError, ValueError) as error:
        raise DecodeError(f"no envelope of a note: {error}"[:300]) from error
    if envelope.content_type != "application/json":
        raise DecodeError(f"a note of type {envelope.content_type[:80]!r}, which is not read")
    properties = envelope.properties
    return Note(
        exchange=properties.delivery_info.exchange,
        routing_key=properties.delivery_info.routing_key,
        headers=envelope.headers,
        body=body,
        delivery_mode=properties.delivery_mode,
    )


def _body(envelope: _Envelope) -> bytes:
    if envelope.properties.body_encoding == "base64":
        return binascii.a2b_base64(envelope.body)
    return envelope.body.encode()
