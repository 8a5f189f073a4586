"""What every call that is sent passes through, in Python; ``calls/module.c`` gives the same."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

import msgspec

__all__ = ["new_id", "new_ids", "pack", "reseed"]

_COUNTER_BITS = 42
_COUNTER_MASK = (1 << _COUNTER_BITS) - 1
_LOW_BITS = 30  # of the counter, behind the two bits of the variant
_LOW_MASK = (1 << _LOW_BITS) - 1
_VARIANT = 0b10 << _LOW_BITS


def _fresh_counter() -> itertools.count[int]:
    # A random start below half of the range: ids of two processes in one millisecond differ in
    # 74 random-or-counted bits, and counting up keeps a process's own ids in order.
    return itertools.count(int.from_bytes(os.urandom(5)) << 1)


_own = os.urandom(4).hex()
_counter = _fresh_counter()


def reseed() -> None:
    """In a forked child, which would repeat its parent's ids: go on with others."""
    global _own, _counter  # noqa: PLW0603 - one sequence for each process
    _own = os.urandom(4).hex()
    _counter = _fresh_counter()


def new_id() -> str:
    """A new id: a UUID of version 7, so that ids made later sort later.

    Order matters for speed only: indexes on ids then grow at their right edge, and a million
    waiting messages cost no more per insert than a thousand.
    """
    ms, number = time.time_ns() // 1_000_000, next(_counter)
    frame = _frame
    if frame.minute != ms >> 16 or frame.above != number >> 16:
        frame = _framed(ms, number)
    return f"{frame.head}{ms & 0xFFFF:04x}{frame.middle}{number & 0xFFFF:04x}{_own}"


def new_ids(count: int) -> list[str]:
    """So many new ids, in order, as :func:`new_id` makes them; made together they cost half."""
    ms = time.time_ns() // 1_000_000
    above, prefix, ids = -1, "", []
    for number in itertools.islice(_counter, count):
        if number >> 16 != above:
            frame = _framed(ms, number)
            above = frame.above
            prefix = f"{frame.head}{ms & 0xFFFF:04x}{frame.middle}"
        ids.append(f"{prefix}{number & 0xFFFF:04x}{_own}")
    return ids


class _Frame(NamedTuple):
    """What is the same in the ids of one minute, but for every 65,536th."""

    minute: int
    above: int  # the number without its last four digits
    head: str
    middle: str


def _framed(ms: int, number: int) -> _Frame:
    global _frame  # noqa: PLW0603 - written whole: another thread's is as good
    bits = number & _COUNTER_MASK
    _frame = _Frame(
        ms >> 16,
        number >> 16,
        f"{ms >> 16:08x}-",
        f"-7{bits >> _LOW_BITS:03x}-{(_VARIANT | (bits & _LOW_MASK)) >> 16:04x}-",
    )
    return _frame


_frame = _Frame(-1, -1, "", "")

_SMALL = 512  # bytes: such arguments are shown whole
_PLAIN = frozenset({int, str, bool, type(None)})
_encode = msgspec.json.Encoder().encode


def pack(
    id: str, root: str, args: Sequence[Any], same: bytes, follows: bytes
) -> tuple[bytes, bytes] | None:
    """Headers and body of a call with these arguments by position, as JSON.

    None where they are not plain: other types than numbers, ASCII text, truth and nothing, or more
    than half a kilobyte. ``id`` and ``root`` stand between quotes as they are; ``same`` ends the
    headers, ``follows`` the body, each with what closes it.
    """
    if type(args) is not tuple or not _PLAIN.issuperset(map(type, args)):
        return None
    try:
        plain = _encode(args)
    except (ValueError, OverflowError):  # a lone surrogate, a very large number
        return None
    if not plain.isascii() or len(plain) >= _SMALL:
        return None
    headers = (
        f'{{"id":"{id}","root_id":"{root}","argsrepr":{quoted(repr(args))},"kwargsrepr":"{{}}",'
    )
    return headers.encode() + same, b"[" + plain + follows
