"""Messages as they lie in Celery's lists, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from penstock.errors import DecodeError
from penstock.message import Lease, Message, new_id
from penstock.wire.envelope import pack, unpack
from penstock.wire.times import write_moment

__all__ = ["STEPS", "lease", "list_of", "read", "step_of", "write"]

STEPS = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # behind a queue's name: kombu's priorities
_STARTS = (0, 3, 6, 9)
UNREADABLE = "penstock-unreadable"  # a header that says why


def step_of(priority: int) -> int:
    """The number of the list (1 to 4) in which a priority lies: 0 is served first."""
    return max(place for place, start in enumerate(_STARTS, 1) if start <= max(0, priority))


def list_of(message: Message) -> str:
    """The name of the list in which a message lies."""
    return message.queue + STEPS[step_of(message.priority) - 1]


def write(message: Message) -> bytes:
    """The envelope; a moment that the headers do not tell is written into them."""
    missing: dict[str, Any] = {}
    if message.ready_at and not message.headers.get("eta"):
        missing["eta"] = write_moment(message.ready_at)
    if message.expires_at is not None and not message.headers.get("expires"):
        missing["expires"] = write_moment(message.expires_at)
    if missing:
        message = replace(message, headers={**message.headers, **missing})
    return pack(message)


def read(raw: bytes, queue: str) -> Message:
    """The message; one that cannot be read says so in a header, for whoever leases it."""
    try:
        return unpack(raw, queue=queue)
    except DecodeError as error:
        key = new_id()
        return Message(id=key, queue=queue, headers={UNREADABLE: str(error)}, body=raw, key=key)


def lease(told: Sequence[Any], until: float) -> Lease:
    """What the claim script tells of one."""
    fence, queue, attempt, deaths, raw = told
    message = read(raw, queue.decode("utf-8", "replace"))
    return Lease(message, int(attempt), until, int(fence), int(deaths))
