"""A call's arguments: as the body of its message, and as the text that logs show of them."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.errors import EncodeError
from penstock.wire.call import Embed
from penstock.wire.codec import Limits, dumps

__all__ = ["encode_arguments", "encode_quickly", "shown"]

_NO_EMBED = Embed()
_EMPTY_EMBED = b'{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'
_NOTHING_FOLLOWS = b",{}," + _EMPTY_EMBED.replace(b" ", b"") + b"]"
_LISTS = frozenset({tuple, list})
_PLAIN = frozenset({int, str, bool, type(None)})  # msgspec writes them as json does
_MAX_SHOWN = 1024
_SMALL_BODY = 4096  # bytes: arguments of this size are worth a full repr

_encode_plain = msgspec.json.Encoder().encode


def encode_arguments(
    task: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    embed: Embed = _NO_EMBED,
    *,
    limits: Limits,
) -> bytes:
    """The body: arguments and what follows the call; raises EncodeError, which names the task."""
    if embed is not _NO_EMBED and embed != _NO_EMBED:
        return _dumped(
            task, (_listed(task, args), dict(kwargs), msgspec.structs.asdict(embed)), limits
        )
    listed = _dumped(task, (_listed(task, args), dict(kwargs)), limits)
    return b"%b, %b]" % (listed[:-1], _EMPTY_EMBED)


def encode_quickly(
    task: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, limits: Limits
) -> bytes:
    """As :func:`encode_arguments`, in a third of the time for a few plain values.

    It says the same, without the spaces that Celery writes.
    """
    if not kwargs and type(args) in _LISTS and _PLAIN.issuperset(map(type, args)):
        try:
            plain = _encode_plain(args)
        except (ValueError, OverflowError):  # a lone surrogate, a very large number
            plain = b""
        if plain and len(plain) < limits.max_bytes and plain.isascii():
            return b"[" + plain + _NOTHING_FOLLOWS
    return encode_arguments(task, args, kwargs, limits=limits)


def _dumped(task: str, value: Any, limits: Limits) -> bytes:
    try:
        return dumps(value, limits=limits)
    except EncodeError as error:
        raise EncodeError(f"the arguments of {task}: {error}") from error


def _listed(task: str, args: Sequence[Any]) -> Sequence[Any]:
    if type(args) in _LISTS:
        return args
    if isinstance(args, str | bytes):  # would be spread into characters
        raise EncodeError(f"args of {task} is text: give a list or a tuple of arguments")
    return list(args)


def shown(value: Any, size: int = 0) -> str:
    """Text for logs, at most 1024 characters and never at the price of a long argument."""
    try:
        text = repr(value) if size <= _SMALL_BODY else _short_repr(value)
    except Exception:  # noqa: BLE001 - an argument's own __repr__ may raise anything
        return "<cannot be shown>"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


_short = reprlib.Repr()
_short.maxlist = _short.maxtuple = _short.maxdict = 20
_short.maxstring = _short.maxother = 200
_short_repr = _short.repr
