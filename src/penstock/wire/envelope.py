"""The envelope of a message on Redis: one JSON map with headers, properties and the body."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from penstock.errors import DecodeError, EncodeError
from penstock.message import Message, PackedHeaders, new_id
from penstock.wire.call import Name
from penstock.wire.codec import LIMITS, Limits, dumps, loads
from penstock.wire.names import is_name
from penstock.wire.plain import plain_header
from penstock.wire.task import outer_header, readable_id

__all__ = ["pack", "read_envelope", "unpack"]

# What the envelope says in members of its own, or a Message does.
_ELSEWHERE = frozenset({
    "body_encoding", "content_encoding", "content_type", "delivery_tag", "priority",
})  # fmt: skip


# A body may be as long as the app allows, which is asked where it is read; in base64 it takes a
# third more. This is Redis' own limit for one value.
_ENVELOPE = msgspec.structs.replace(LIMITS, max_bytes=512 * 1024 * 1024)


def pack(
    message: Message,
    *,
    exchange: str = "",
    routing_key: str | None = None,
    delivery_tag: str | None = None,
) -> bytes:
    """The envelope of a message: what goes into a list, a hash or a channel.

    ``routing_key`` is the queue's name and ``delivery_tag`` the message's key unless given. A
    message's moments are told by its headers alone. Raises EncodeError.
    """
    properties = message.properties
    if not properties and type(message.headers) is PackedHeaders and not exchange:
        key = message.queue if routing_key is None else routing_key
        tag = message.key if delivery_tag is None else delivery_tag
        return _pack_plain(message, message.headers.json, key, tag)
    where = {
        **_mapping(properties.get("delivery_info")),
        "exchange": exchange,
        "routing_key": message.queue if routing_key is None else routing_key,
    }
    return dumps({
        "body": binascii.b2a_base64(message.body, newline=False).decode("ascii"),
        "content-encoding": properties.get("content_encoding") or "utf-8",
        "content-type": properties.get("content_type") or "application/json",
        "headers": message.headers if isinstance(message.headers, dict) else dict(message.headers),
        "properties": {
            "correlation_id": message.id,
            "delivery_mode": 2,
            **{name: properties[name] for name in properties if name not in _ELSEWHERE},
            "delivery_info": where,
            "priority": message.priority,
            "body_encoding": "base64",
            "delivery_tag": message.key if delivery_tag is None else delivery_tag,
        },
    }, limits=_ENVELOPE)  # fmt: skip


class _Where(msgspec.Struct):
    exchange: str
    routing_key: str


class _Properties(msgspec.Struct):
    correlation_id: str
    delivery_info: _Where
    priority: int
    delivery_tag: str
    delivery_mode: int = 2
    body_encoding: str = "base64"


class _Envelope(msgspec.Struct, rename="kebab"):
    body: bytes  # written in base64
    headers: msgspec.Raw
    properties: _Properties
    content_encoding: str = "utf-8"
    content_type: str = "application/json"


_encode = msgspec.json.Encoder().encode


def _pack_plain(message: Message, headers: bytes, routing_key: str, tag: str) -> bytes:
    """The same, for a call as penstock makes it: its headers are JSON already."""
    where = _Where("", routing_key)
    properties = _Properties(message.id, where, message.priority, tag)
    try:
        return _encode(_Envelope(message.body, msgspec.Raw(headers), properties))
    except UnicodeEncodeError as error:
        raise EncodeError(f"a name that UTF-8 cannot write: {error}") from error


def unpack(data: bytes | str, *, queue: str, limits: Limits = _ENVELOPE) -> Message:
    """The message in an envelope; raises DecodeError. One without delivery tag gets a new key.

    A message whose envelope can be read but whose task cannot is given out too: what reads its
    header says what is wrong with it.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return _unpack_plain(raw, queue, limits) or read_envelope(
        loads(data, limits=limits), queue=queue
    )


class _Info(msgspec.Struct, forbid_unknown_fields=True):
    exchange: str
    routing_key: str


class _Told(msgspec.Struct, forbid_unknown_fields=True):
    correlation_id: str
    delivery_mode: int
    delivery_info: _Info
    priority: int
    body_encoding: Literal["base64"]
    delivery_tag: Name
    reply_to: str | None = None


class _Said(msgspec.Struct, rename="kebab", forbid_unknown_fields=True):
    body: bytes
    headers: msgspec.Raw
    properties: _Told
    content_encoding: str
    content_type: Literal["application/json"]


_decode_said = msgspec.json.Decoder(_Said).decode


def _unpack_plain(data: bytes, queue: str, limits: Limits) -> Message | None:
    """The message, where its envelope is as most senders write it; its headers stay text."""
    if len(data) > limits.max_bytes:
        return None
    try:
        said = _decode_said(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    headers, told = PackedHeaders(bytes(said.headers)), said.properties
    header = plain_header(headers, limits)
    if header is None:
        return None
    where = told.delivery_info
    properties = {
        "correlation_id": told.correlation_id,
        "delivery_mode": told.delivery_mode,
        "delivery_info": {"exchange": where.exchange, "routing_key": where.routing_key},
        "content_type": said.content_type,
        "content_encoding": said.content_encoding,
    }
    if told.reply_to is not None:
        properties["reply_to"] = told.reply_to
    tag, priority = told.delivery_tag, told.priority
    return Message(header.id, queue, headers, said.body, priority, 0.0, None, tag, properties)


def read_envelope(envelope: Any, *, queue: str) -> Message:
    """The same for an envelope that was parsed already."""
    if not isinstance(envelope, dict):
        raise DecodeError(f"an envelope is a map, not {type(envelope).__name__}")
    properties = _member(envelope, "properties")
    tag = properties.get("delivery_tag")
    key = tag if is_name(tag) else new_id()
    priority = properties.get("priority")
    said = {name: value for name, value in properties.items() if name not in _ELSEWHERE}
    for member, name in (
        ("content-type", "content_type"),
        ("content-encoding", "content_encoding"),
    ):
        if envelope.get(member) is not None:
            said[name] = envelope[member]
    message = Message(
        id=key,
        queue=queue,
        headers=_member(envelope, "headers"),
        body=_body(envelope.get("body"), properties.get("body_encoding")),
        priority=priority if type(priority) is int else 0,
        key=key,
        properties=said,
    )
    return _with_header(message)


def _with_header(message: Message) -> Message:
    """The message with the id and moments that its header tells, as far as they can be read."""
    try:
        header = outer_header(message)
    except DecodeError:
        return msgspec.structs.replace(message, id=readable_id(message) or message.key)
    return msgspec.structs.replace(
        message, id=header.id, ready_at=header.eta or 0.0, expires_at=header.expires
    )


def _member(envelope: dict[str, Any], name: str) -> dict[str, Any]:
    value = envelope.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DecodeError(f"the envelope's {name} are no map but {type(value).__name__}")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _body(text: Any, encoding: Any) -> bytes:
    if text is None:
        return b""
    if not isinstance(text, str):
        raise DecodeError(f"the envelope's body is no text but {type(text).__name__}")
    if encoding != "base64":  # then it is the text itself, whatever name it was given
        return text.encode("utf-8", "surrogatepass")
    try:
        return binascii.a2b_base64(text)
    except ValueError as error:
        raise DecodeError(f"the envelope's body is no base64: {error}") from error
