"""What was kept aside, as items."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.durable import items
from penstock.errors import DecodeError
from penstock.message import DeadLetter

__all__ = ["DeadItem"]


class DeadItem(msgspec.Struct, frozen=True):
    """An item that was kept aside, and why."""

    key: str  # names it to `replay` and `drop`
    item: Any  # None where it cannot be read; then `body` is all there is
    reason: str
    attempts: int  # how often it was given out
    dead_at: float  # wall time
    body: bytes  # as it is stored

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadItem:
        """The item of a dead letter."""
        try:
            item = items.read(letter.message)
        except DecodeError:  # the reason says so
            item = None
        message = letter.message
        return cls(message.key, item, letter.reason, letter.attempts, letter.dead_at, message.body)
