"""What befell a publication before this run: crashes and deaths, kept in a header of ours.

The header names the publication it speaks of, so that a replayed dead letter, which is a new
publication of the same message, starts afresh.
"""

from __future__ import annotations

import msgspec

from penstock.message import Lease, Message

__all__ = ["HEADER", "Past"]

HEADER = "penstock_past"


class Past(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Counts of one publication."""

    key: str
    crashes: int = 0  # how often its executor died while it ran alone
    deaths: int = 0  # how often a zygote died over it
    alone: bool = False  # several ran when an executor died: it runs next alone

    @classmethod
    def of_lease(cls, lease: Lease) -> Past:
        """The past of what was leased: of the first lease there is none."""
        return _NONE if lease.attempt == 1 else cls.of(lease.message)

    @classmethod
    def of(cls, message: Message) -> Past:
        """The past of this publication; none where the header is missing, or not ours."""
        said = message.headers.get(HEADER)
        if said is not None:
            try:
                past = msgspec.convert(said, cls)
            except (msgspec.ValidationError, UnicodeEncodeError):  # a stranger's: nothing is known
                return cls(key=message.key)
            if past.key == message.key:
                return past
        return cls(key=message.key)

    def on(self, message: Message) -> Message:
        """The message with this past."""
        headers = {**message.headers, HEADER: msgspec.to_builtins(self)}
        return msgspec.structs.replace(message, headers=headers)


_NONE = Past(key="")
