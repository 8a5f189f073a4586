"""Remote control on the wire: requests to workers and their answers, as Celery has them.

A request goes to all workers of a broker and says for which of them it is. Those answer with one
map, their own name to what the command gave, to the address that the request names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

import msgspec

from penstock.errors import DecodeError
from penstock.wire.codec import LIMITS, Limits, dumps, loads
from penstock.wire.note import Note

__all__ = [
    "ANSWERS",
    "REQUESTS",
    "Address",
    "Request",
    "answer_note",
    "read_answer",
    "read_request",
    "request_note",
]

REQUESTS, ANSWERS = "celery.pidbox", "reply.celery.pidbox"  # exchanges
_PERSISTENT = 2
_LONGEST_PATTERN = 256


class Address(msgspec.Struct, frozen=True):
    """Where answers go."""

    exchange: str
    routing_key: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What workers are asked or told to do.

    It is for those in ``destination``, else for those whose names match ``pattern`` by ``matcher``
    (glob or pcre), else for all. Without ``reply_to`` nobody waits for an answer. ``clock`` is the
    sender's logical time.
    """

    method: str
    arguments: Mapping[str, Any] = {}
    destination: tuple[str, ...] | None = None
    pattern: str | None = None
    matcher: str | None = None
    ticket: str | None = None
    reply_to: Address | None = None
    clock: int = 0

    def __repr__(self) -> str:
        """What is asked of whom, without the arguments."""
        return f"<Request {self.method!r} to {self.destination or self.pattern or 'all'!r}>"

    def is_for(self, name: str) -> bool:
        """Whether the worker of that name shall act; raises DecodeError for an unusable pattern."""
        if self.destination:
            return name in self.destination
        if self.pattern and self.matcher:
            return _matches(name, self.pattern, self.matcher)
        return True


def _matches(name: str, pattern: str, matcher: str) -> bool:
    if len(pattern) > _LONGEST_PATTERN:
        raise DecodeError(f"a pattern of {len(pattern)} characters; {_LONGEST_PATTERN} are enough")
    if matcher == "glob":
        return fnmatch(name, pattern)
    if matcher != "pcre":
        raise DecodeError(f"there is no matcher {matcher[:80]!r}: choose glob or pcre")
    try:
        return re.match(pattern, name) is not None
    except re.error as error:
        raise DecodeError(f"the pattern {pattern!r} cannot be used: {error}") from error


def request_note(request: Request, *, expires: float = 0) -> Note:
    """The request as a note; raises EncodeError. From ``expires`` (wall time) on nobody waits."""
    body: dict[str, Any] = {
        "method": request.method,
        "arguments": request.arguments,
        "destination": None if request.destination is None else list(request.destination),
        "pattern": request.pattern,
        "matcher": request.matcher,
    }
    if request.reply_to is not None:
        body |= {"ticket": request.ticket, "reply_to": msgspec.structs.asdict(request.reply_to)}
    return Note(
        exchange=REQUESTS,
        headers={"clock": request.clock, "expires": expires},
        body=dumps(body),
        delivery_mode=_PERSISTENT,
    )


def read_request(note: Note, *, limits: Limits = LIMITS) -> Request:
    """The request in a note; raises DecodeError."""
    body = loads(note.body, limits=limits)
    if not isinstance(body, dict):
        raise DecodeError(f"a request is a map, not {type(body).__name__}")
    known = {name: body[name] for name in _MEMBERS & body.keys() if body[name] is not None}
    if known.get("reply_to") == {}:
        del known["reply_to"]
    try:
        return msgspec.convert({**known, "clock": _clock_of(note)}, Request)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise DecodeError(f"a request that cannot be read: {error}"[:300]) from error


_MEMBERS = frozenset(Request.__struct_fields__) - {"clock"}


def _clock_of(note: Note) -> int:
    clock = note.headers.get("clock")
    return clock if type(clock) is int and clock > 0 else 0


def answer_note(request: Request, worker: str, value: Any, *, clock: int) -> Note | None:
    """A worker's answer; None where nobody waits for one. Raises EncodeError."""
    address = request.reply_to
    if address is None:
        return None
    return Note(
        exchange=address.exchange,
        routing_key=address.routing_key,
        headers={"ticket": request.ticket, "clock": clock},
        body=dumps({worker: value}),
    )


def read_answer(note: Note, *, ticket: str, limits: Limits = LIMITS) -> dict[str, Any]:
    """Who answered what to that request; empty for an answer to another. Raises DecodeError."""
    if note.headers.get("ticket") not in (ticket, None):  # it may be a map
        return {}
    body = loads(note.body, limits=limits)
    if not isinstance(body, dict):
        raise DecodeError(f"an answer is a map, not {type(body).__name__}")
    return body
