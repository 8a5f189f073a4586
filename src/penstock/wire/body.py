"""A message's body: its content type and compression checked, then read."""

from __future__ import annotations

import zlib
from typing import Any

from penstock.errors import DecodeError
from penstock.message import Message
from penstock.wire.codec import Limits, loads

__all__ = ["check_format", "read_body"]

_JSON = "application/json"
_ZLIB = "application/x-gzip"  # so Celery calls zlib's format, whether zlib or gzip was asked for
_EITHER = 32 + zlib.MAX_WBITS  # the zlib and the gzip header


def check_format(message: Message) -> None:
    """Raise DecodeError for a body in another format than JSON, plain or compressed by zlib."""
    content_type = message.properties.get("content_type") or _JSON
    if content_type != _JSON:
        raise DecodeError(
            f"its content type is {_shown(content_type)} and only {_JSON} is read: "
            "let its sender use the json serializer"
        )
    compression = message.headers.get("compression")
    if compression is not None and compression != _ZLIB:
        raise DecodeError(
            f"its compression is {_shown(compression)} and only {_ZLIB} is read: "
            "let its sender compress with zlib, or not at all"
        )


def read_body(message: Message, limits: Limits) -> Any:
    """The value of the body; raises DecodeError."""
    check_format(message)
    body = message.body
    if message.headers.get("compression") is not None:
        body = _expanded(body, limits.max_bytes)
    try:
        return loads(body, limits=limits)
    except DecodeError as error:
        raise DecodeError(f"its body: {error}") from error


def _expanded(body: bytes, limit: int) -> bytes:
    """The body without its compression, never more than ``limit`` bytes of it."""
    stream = zlib.decompressobj(_EITHER)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise DecodeError(f"its body cannot be decompressed: {error}") from error
    if len(data) > limit:
        raise DecodeError(f"its body is more than {limit} bytes when decompressed")
    if not stream.eof or stream.unused_data:
        raise DecodeError("its compressed body is cut off, or goes on after its end")
    return data


def _shown(value: Any) -> str:
    return repr(value[:80]) if isinstance(value, str) else f"of type {type(value).__name__}"
