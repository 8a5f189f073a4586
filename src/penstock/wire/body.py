"""A message's body: its content type and compression checked, then read.

What the app does not accept is refused from the headers alone: no byte of it is expanded or parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from penstock.errors import DecodeError
from penstock.message import Message
from penstock.wire.codec import CONTENT_TYPES, JSON, Limits, loads

__all__ = ["check_format", "is_json", "read_body", "with_body_of"]

_PICKLE = CONTENT_TYPES["pickle"]
_LZMA_MEMORY = 128 * 1024 * 1024  # bytes: what the strongest preset asks for, and not much more


def check_format(message: Message, limits: Limits) -> tuple[str, str | None]:
    """The body's content type and compression; raises DecodeError for what is not read.

    That is a body that is too large, or of a form that the app does not accept.
    """
    if len(message.body) > limits.max_bytes:
        raise DecodeError(
            f"its body: {len(message.body)} bytes, more than the limit of {limits.max_bytes}"
        )
    content_type = message.properties.get("content_type") or JSON
    if not isinstance(content_type, str) or content_type not in limits.accept:
        raise DecodeError(_refusal(content_type, limits))
    compression = message.headers.get("compression")
    if compression is not None and not (isinstance(compression, str) and compression in _EXPANDERS):
        raise DecodeError(
            f"its compression is {_shown(compression)} and only {', '.join(_EXPANDERS)} are read: "
            "let its sender compress with zlib, or not at all"
        )
    return content_type, compression


def is_json(message: Message) -> bool:
    """True where the body says that it is JSON, or says nothing."""
    return (message.properties.get("content_type") or JSON) == JSON


def with_body_of(message: Message, other: Message) -> Message:
    """The other message with this one's body, and with all that is said of the form it has."""
    headers = dict(other.headers)
    if "compression" in message.headers:
        headers["compression"] = message.headers["compression"]
    properties = {**other.properties}
    for name in ("content_type", "content_encoding"):
        if name in message.properties:
            properties[name] = message.properties[name]
    return msgspec.structs.replace(other, body=message.body, headers=headers, properties=properties)


def read_body(message: Message, limits: Limits) -> Any:
    """The value of the body; raises DecodeError."""
    content_type, compression = check_format(message, limits)
    body = message.body
    if compression is not None:
        body = _expanded(body, compression, limits.max_bytes)
    try:
        return _READERS[content_type](body, limits)
    except DecodeError as error:
        raise DecodeError(f"its body: {error}") from error


# --- formats ---------------------------------------------------------------------------------


def _read_pickle(data: bytes, limits: Limits) -> Any:  # noqa: ARG001 - it knows no bounds at all
    import pickle

    try:
        return pickle.loads(data)  # noqa: S301 - see above; the settings say what it means
    except Exception as error:
        raise DecodeError(f"a pickle that cannot be read: {_reason(error)}") from error


def _read_msgpack(data: bytes, limits: Limits) -> Any:
    try:
        value = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise DecodeError(f"not MessagePack: {error}"[:300]) from error
    if _is_deeper(value, limits.max_depth):
        raise DecodeError(f"nested more than {limits.max_depth} levels deep")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether maps and lists are nested deeper; level by level, so that it cannot recurse."""
    level = [value]
    for _ in range(depth + 1):
        level = [inner for one in level for inner in _within(one)]
        if not level:
            return False
    return True


def _within(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for one in inner if isinstance(one, dict | list)]


_READERS: dict[str, Callable[[bytes, Limits], Any]] = {
    JSON: loads,
    _PICKLE: _read_pickle,
    CONTENT_TYPES["msgpack"]: _read_msgpack,
}


def _refusal(content_type: Any, limits: Limits) -> str:
    accepted = ", ".join(sorted(limits.accept))
    text = (
        f"its content type is {_shown(content_type)} and only {accepted} is read: "
        "let its sender use the json serializer"
    )
    for name, known in CONTENT_TYPES.items():
        if content_type == known:
            text += f', or accept it (accept_content=["json", "{name}"])'
    if content_type == _PICKLE:
        text += " where whoever can write to the broker may run any code in the workers"
    return text


# --- compressions ----------------------------------------------------------------------------


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _zlib() -> tuple[_Stream, type[Exception]]:
    import zlib

    return zlib.decompressobj(32 + zlib.MAX_WBITS), zlib.error  # 32: zlib's header, or gzip's


def _bzip2() -> tuple[_Stream, type[Exception]]:
    import bz2

    return bz2.BZ2Decompressor(), OSError


def _lzma() -> tuple[_Stream, type[Exception]]:
    import lzma

    return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY), lzma.LZMAError


# By Celery's names. The first is zlib's format, whether zlib or gzip was asked for.
_EXPANDERS: dict[str, Callable[[], tuple[_Stream, type[Exception]]]] = {
    "application/x-gzip": _zlib,
    "application/x-bz2": _bzip2,
    "application/x-lzma": _lzma,
}


def _expanded(body: bytes, compression: str, limit: int) -> bytes:
    """The body without its compression, never more than ``limit`` bytes of it."""
    stream, bad = _EXPANDERS[compression]()
    try:
        data = stream.decompress(body, limit + 1)
    except (bad, ValueError, EOFError) as error:
        raise DecodeError(f"its body cannot be decompressed: {error}"[:300]) from error
    if len(data) > limit:
        raise DecodeError(f"its body is more than {limit} bytes when decompressed")
    if not stream.eof or stream.unused_data:
        raise DecodeError("its compressed body is cut off, or goes on after its end")
    return data


def _reason(error: BaseException) -> str:
    """What is wrong with a pickle; texts of what its objects raise may quote arguments."""
    tells = isinstance(error, ImportError | AttributeError)  # which class is not there
    return f"{type(error).__qualname__}: {error}"[:300] if tells else type(error).__qualname__


def _shown(value: Any) -> str:
    return repr(value[:80]) if isinstance(value, str) else f"of type {type(value).__name__}"
