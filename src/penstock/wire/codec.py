"""JSON as Celery writes it: the types that JSON lacks travel as ``{"__type__", "__value__"}`` maps.

Reading makes values of these types and of JSON's own, nothing else: no class is looked up, no
module imported. Sizes and depths are limited on both sides, so that nothing is sent that a
reader would refuse.
"""

from __future__ import annotations

import binascii
import datetime as dt
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from penstock.errors import DecodeError, EncodeError

__all__ = ["CONTENT_TYPES", "JSON", "LIMITS", "Limits", "dumps", "loads", "unsized"]

JSON = "application/json"
# What a body may be, by the names that `accept_content` has for them; all but JSON must be asked
# for. Results, events and remote control are JSON and nothing else.
CONTENT_TYPES = {
    "json": JSON,
    "pickle": "application/x-python-serialize",
    "msgpack": "application/x-msgpack",
}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a thing may be like that is read from the wire or written to it."""

    max_bytes: int = 16 * 1024 * 1024  # of one message or result, compressed or not
    max_depth: int = 64  # maps and lists within each other
    max_headers: int = 64
    accept: frozenset[str] = frozenset({JSON})  # content types of bodies


LIMITS = Limits()


@lru_cache(maxsize=8)
def unsized(limits: Limits) -> Limits:
    """The same for who checks sizes himself, to name the setting that says how large."""
    return msgspec.structs.replace(limits, max_bytes=sys.maxsize)


# In this order: a datetime is a date as well.
_WRITERS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (dt.datetime, "datetime", lambda value: value.isoformat()),
    (dt.date, "date", lambda value: value.isoformat()),
    (dt.time, "time", lambda value: value.isoformat()),
    (Decimal, "decimal", str),
    (UUID, "uuid", lambda value: {"hex": value.hex}),
)

_READERS: dict[str, Callable[[Any], Any]] = {
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "decimal": lambda text: Decimal(_text(text)),  # Decimal takes tuples and numbers too
    "uuid": lambda value: UUID(hex=value["hex"]),
    "bytes": lambda text: text.encode("utf-8"),
    "base64": lambda text: binascii.a2b_base64(_text(text)),
}


def dumps(value: Any, *, limits: Limits = LIMITS) -> bytes:
    """The value as JSON in ASCII; raises EncodeError, which names the type that has no form.

    Tuples become lists, keys that are not text become text as :mod:`json` does it, NaN and
    Infinity are written bare, and an object with ``__json__()`` is written as what that returns.
    """
    try:
        data = _encode(value).encode("ascii")
    except EncodeError:
        raise
    except RecursionError as error:
        raise _too_deep(limits) from error
    except Exception as error:  # a value's own methods may raise anything
        raise EncodeError(
            f"cannot be written as JSON: {type(error).__name__}: {error}; send plain values"
        ) from error
    if len(data) > limits.max_bytes:
        raise EncodeError(
            f"takes {len(data)} bytes, more than the limit of {limits.max_bytes}: "
            "store it elsewhere and send a reference to it"
        )
    if _is_deep(data, limits.max_depth):
        raise _too_deep(limits)
    return data


def loads(data: bytes | str, limits: Limits = LIMITS) -> Any:
    """The value of JSON text in UTF-8; raises DecodeError with the reason."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > limits.max_bytes:
        raise DecodeError(f"{len(raw)} bytes, more than the limit of {limits.max_bytes}")
    if _is_deep(raw, limits.max_depth):
        raise DecodeError(f"nested more than {limits.max_depth} levels deep, or not JSON")
    # The second test: a key may be spelled with escapes, and "\u005f" is an underscore.
    if b"__type__" not in raw and b"\\u005" not in raw:
        try:
            return _decode_plain(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # NaN, Infinity and lone surrogates, which Celery sends; or it is no JSON at all
    return _decode_slowly(data)


def _too_deep(limits: Limits) -> EncodeError:
    return EncodeError(
        f"nested more than {limits.max_depth} levels deep: flatten it, or send it as text"
    )


def _typed(value: Any) -> Any:
    """What JSON can write in the place of ``value``."""
    own_form = getattr(value, "__json__", None)
    if own_form is not None:
        return own_form()
    for kind, name, write in _WRITERS:
        if isinstance(value, kind):
            return {"__type__": name, "__value__": write(value)}
    if isinstance(value, bytes):
        return _typed_bytes(value)
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    raise EncodeError(
        f"a value of type {name} has no form in JSON: send plain values (a list for a set, an id "
        "for an object), or give its class a __json__() method"
    )


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _typed_bytes(value: bytes) -> dict[str, str]:
    try:
        return {"__type__": "bytes", "__value__": value.decode("utf-8")}
    except UnicodeDecodeError:
        text = binascii.b2a_base64(value, newline=False).decode("ascii")
        return {"__type__": "base64", "__value__": text}


def _read_typed(found: dict[str, Any]) -> Any:
    """A map as it was read, or the value that it stands for."""
    if len(found) != 2 or "__type__" not in found or "__value__" not in found:  # noqa: PLR2004
        return found
    name = found["__type__"]
    reader = _READERS.get(name) if isinstance(name, str) else None
    if reader is None:
        raise DecodeError(f"unknown __type__ {_shown(name)}; known are {', '.join(_READERS)}")
    try:
        return reader(found["__value__"])
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        # Without its text: that quotes the value, which is somebody's argument.
        raise DecodeError(f"a {name} that cannot be read ({type(error).__name__})") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value


def _shown(value: Any) -> str:
    return repr(value[:80]) if isinstance(value, str) else f"of type {type(value).__name__}"


def _encoder() -> Callable[[Any], str]:
    """What ``json.JSONEncoder.encode`` does, without setting up its C part again at each call.

    That takes half of its time for a small value. Circles, which it would look for in every
    value, end as too deep.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without the C part
        return json.JSONEncoder(default=_typed).encode
    escaped = json.encoder.encode_basestring_ascii
    chunks = make(None, _typed, escaped, None, ": ", ", ", False, False, True)
    return lambda value: "".join(chunks(value, 0))


_encode = _encoder()
_decode_plain = msgspec.json.Decoder().decode
_decode_with_types = json.JSONDecoder(object_hook=_read_typed).decode


def _decode_slowly(data: bytes | str) -> Any:
    try:
        return _decode_with_types(data if isinstance(data, str) else data.decode("utf-8"))
    except DecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not JSON: {error}"[:300]) from error


def _is_deep(data: bytes, limit: int) -> bool:
    """True where maps and lists are nested deeper than ``limit``, or their ends do not match.

    Asked before parsing: a parser recurses, and a message must not choose how far.
    """
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    brackets = _brackets(data)
    if b"[" * (limit + 1) in brackets:
        return True
    for _ in range(limit):  # each turn takes the innermost level away
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


_BESIDES = bytes(set(range(256)) - set(b'[]{}"'))
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")


def _brackets(data: bytes) -> bytes:
    """The brackets of JSON text that stand outside strings, all of them as square ones."""
    if b"\\" in data:  # escaped backslashes first, then a backslash escapes the quote after it
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Strings without brackets are two quotes now. Where one string ends and the next begins there
    # are two as well, but no bracket between them, so that taking those away changes nothing.
    marks = data.translate(_TO_SQUARE, _BESIDES).replace(b'""', b"")
    return b"".join(marks.split(b'"')[::2])
