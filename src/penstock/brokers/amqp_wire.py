"""Messages as RabbitMQ carries them: Celery's headers and properties, and one header of ours.

The header says what befell a publication: the server itself counts nothing on a classic queue,
and too much on a quorum queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.errors import DecodeError, EncodeError
from penstock.message import Message
from penstock.wire.names import is_name
from penstock.wire.task import outer_header, readable_id

__all__ = [
    "BOOT",
    "CUSTODY",
    "DEAD",
    "HELD",
    "Burial",
    "Counts",
    "burial_of",
    "died_with_it",
    "read",
    "write",
]

CUSTODY, DEAD = "penstock_custody", "penstock_dead"
HELD = "penstock_held"  # what leads into a queue of ours
BOOT = "penstock_boot"  # the life of the server in which it was sent
_OURS = frozenset({BOOT, CUSTODY, DEAD, HELD})

_OF_A_DEATH = ("reason", "queue", "exchange")
_SAID = ("content_type", "content_encoding", "correlation_id", "reply_to", "type", "app_id")
_SERVERS = frozenset(
    {"x-death", "x-delivery-count", "x-acquired-count"}
    | {f"x-{which}-death-{what}" for which in ("first", "last") for what in _OF_A_DEATH}
)
_LEFT_OUT = _OURS | _SERVERS  # they are about an earlier delivery


class Counts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What befell the publication ``key`` so far."""

    key: str = ""
    attempts: int = 0  # leases
    deaths: int = 0  # of them that ended with their holder, or ran out
    ready: float = 0.0  # wall time before which it must not run; 0: as its header says
    expires: float = 0.0  # the same of the time after which it must not start


class Burial(msgspec.Struct, frozen=True):
    """What is kept of a dead letter beside the message itself."""

    queue: str
    key: str
    reason: str
    attempts: int
    dead_at: float


def write(
    message: Message,
    *,
    counts: Counts | None = None,
    burial: Burial | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Any:
    """The library's form of a message; raises EncodeError for what AMQP has no form for."""
    import amqp

    headers = dict(message.headers)
    if not _LEFT_OUT.isdisjoint(headers):
        headers = {name: value for name, value in headers.items() if name not in _LEFT_OUT}
    if message.expires_at and headers.get("expires") is None:
        counts = msgspec.structs.replace(counts or Counts(message.key), expires=message.expires_at)
    for name, ours in ((CUSTODY, counts), (DEAD, burial)):
        if ours is not None:
            headers[name] = msgspec.to_builtins(ours)
    if extra:
        headers |= extra
    said = message.properties
    return amqp.Message(
        message.body,
        application_headers=headers,
        content_type=said.get("content_type") or "application/json",
        content_encoding=said.get("content_encoding") or "utf-8",
        correlation_id=_short(said.get("correlation_id") or message.id),
        delivery_mode=2,
        message_id=_short(message.key),
        priority=max(0, min(message.priority, 255)),
        **{name: said[name] for name in ("reply_to", "type", "app_id") if said.get(name)},
    )


def _short(text: str) -> str:
    try:
        if len(text.encode()) <= 255:  # noqa: PLR2004 - AMQP's short strings
            return text
    except UnicodeEncodeError as error:
        raise EncodeError(f"a name that UTF-8 cannot write: {error}") from error
    raise EncodeError(f"a name of more than 255 bytes, which AMQP cannot carry: {text[:60]}…")


def read(delivered: Any, queue: str) -> tuple[Message, Counts]:
    """The message that was delivered for a queue, and what befell it before."""
    properties: Mapping[str, Any] = delivered.properties
    headers: dict[str, Any] = properties.get("application_headers") or {}
    body = delivered.body
    said = {name: properties[name] for name in _SAID if properties.get(name) is not None}
    key = properties.get("message_id")
    priority = properties.get("priority")
    message = Message(
        id="",
        queue=queue,
        headers=headers,
        body=body.encode() if isinstance(body, str) else bytes(body),
        priority=priority if type(priority) is int else 0,
        key=key if is_name(key) else "",
        properties=said,
    )
    message = _with_header(message)
    counts = _counts(headers.get(CUSTODY), message.key)
    if counts.ready:
        message = msgspec.structs.replace(message, ready_at=counts.ready)
    if counts.expires:
        message = msgspec.structs.replace(message, expires_at=counts.expires)
    return message, counts


def _with_header(message: Message) -> Message:
    """The message with the id and moments that its header tells, as far as they can be read."""
    try:
        header = outer_header(message)
    except DecodeError:
        name = readable_id(message) or _named(message)
        return msgspec.structs.replace(message, id=name, key=message.key or name)
    return msgspec.structs.replace(
        message,
        id=header.id,
        # Celery names no publication. A retry is another one under the same id.
        key=message.key or f"{header.id}.{header.retries}",
        ready_at=header.eta or 0.0,
        expires_at=header.expires,
    )


def _named(message: Message) -> str:
    """A name for what has none, the same at each delivery."""
    import hashlib

    return message.key or "unreadable-" + hashlib.sha256(message.body).hexdigest()[:32]


def _counts(value: Any, key: str) -> Counts:
    if value is not None:
        try:
            counts = msgspec.convert(value, Counts)
        except (msgspec.ValidationError, UnicodeEncodeError):  # a stranger's: nothing is known
            return Counts(key)
        if counts.key == key:
            return counts
    return Counts(key)


def died_with_it(delivered: Any, boot: str) -> bool:
    """Of what the server says it has delivered before: True when its holder must have died.

    ``boot`` names the server's life. A quorum queue counts deliveries; a classic one may mean that
    the server has died since the message was sent.
    """
    headers = delivered.properties.get("application_headers") or {}
    return bool(headers.get("x-delivery-count") or (boot and headers.get(BOOT) == boot))


def burial_of(delivered: Any) -> Burial | None:
    """What is known of a dead letter; None for what is none of ours."""
    headers = delivered.properties.get("application_headers") or {}
    try:
        return msgspec.convert(headers.get(DEAD), Burial)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None
