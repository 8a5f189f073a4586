"""How often an item has failed so far, kept in a header of ours.

The header names the publication it speaks of, so that a replayed dead letter, which is a new
publication of the same message, starts afresh. Deaths of holders are counted by the broker.
"""

from __future__ import annotations

import msgspec

from penstock.message import Message

__all__ = ["HEADER", "Past"]

HEADER = "penstock_failures"


class Past(msgspec.Struct, frozen=True):
    """The failures of one publication."""

    key: str
    failures: int = 0

    @classmethod
    def of(cls, message: Message) -> Past:
        """What is known of this publication; nothing where the header is missing, or not ours."""
        said = message.headers.get(HEADER)
        if said is not None:
            try:
                past = msgspec.convert(said, cls)
            except (msgspec.ValidationError, UnicodeEncodeError):  # a stranger's: nothing is known
                return cls(message.key)
            if past.key == message.key:
                return past
        return cls(message.key)

    def with_one_more(self) -> Past:
        """The same after one more failure."""
        return Past(self.key, self.failures + 1)

    def on(self, message: Message) -> Message:
        """The message with this past."""
        headers = {**message.headers, HEADER: msgspec.to_builtins(self)}
        return msgspec.structs.replace(message, headers=headers)
