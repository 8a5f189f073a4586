"""A call's arguments: as the body of its message, and as the text that logs show of them."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.errors import EncodeError
from penstock.wire.call import Embed
from penstock.wire.codec import Limits, dumps

__all__ = ["NOTHING_FOLLOWS", "encode_arguments", "shown"]

_NO_EMBED = Embed()
_EMPTY_EMBED = b'{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'
_LISTS = frozenset({tuple, list})
_MAX_SHOWN = 1024
_SMALL_BODY = 4096  # bytes: arguments of this size are worth a full repr

# What follows plain arguments by position (see `penstock._core.twin_calls.pack`): as
# `encode_arguments` says it, without the spaces.
NOTHING_FOLLOWS = b",{}," + _EMPTY_EMBED.replace(b" ", b"") + b"]"


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
