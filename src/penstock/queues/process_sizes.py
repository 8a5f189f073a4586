"""The sizes of a queue between processes: those that were asked for, and those that are there."""

from __future__ import annotations

import operator
import os
from typing import Any

from penstock.errors import ConfigError
from penstock.queues.segments import Segment, Sizes

__all__ = ["DEFAULT_BYTES", "sizes_asked_for", "sizes_there"]

DEFAULT_BYTES = 4 * 1024 * 1024
_MOST_BYTES = 1 << 33
_MOST_ITEMS = (1 << 63) - 1


def sizes_asked_for(maxsize: object, max_bytes: object, core: str) -> Sizes:
    """Those of these arguments; 0 for what was left open. Raises TypeError and ConfigError."""
    items = max(0, _whole("maxsize", maxsize, _MOST_ITEMS))
    size = 0 if max_bytes is None else _whole("max_bytes", max_bytes, _MOST_BYTES)
    if max_bytes is not None and size < 1:
        raise ConfigError(f"max_bytes is a number of bytes from 1 to {_MOST_BYTES}, not {size}")
    return Sizes(items, size, core)


def _whole(what: str, value: Any, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} of a ProcessQueue is a whole number, not {value!r}") from None
    if number > most:
        raise ConfigError(f"{what} of a ProcessQueue is at most {most}, not {number}")
    return number


def sizes_there(segment: Segment, asked: Sizes) -> Sizes:
    """The sizes of what is there. Raises ConfigError if others were wanted."""
    there = segment.read_sizes()
    if there is None:
        return asked  # no queue: the core will say why
    page = os.sysconf("SC_PAGESIZE")
    rounded = -(-asked.max_bytes // page) * page
    if asked.maxsize in {0, there.maxsize} and rounded in {0, there.max_bytes}:
        return there
    raise ConfigError(
        f"the queue {segment.name!r} is there already, with maxsize={there.maxsize} and"
        f" max_bytes={there.max_bytes}: name the same sizes, or none"
    )
