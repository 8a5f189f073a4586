"""Result records in memcached: Celery's document, with what it cannot say as a first member.

``{"penstock":{"key":...},"status":"SUCCESS",...}``: one value, so that one compare-and-set changes
both. Celery passes the member over. What is no JSON map is kept in such a member, in base64.
"""

from __future__ import annotations

import binascii
import json
import math

import msgspec

from penstock.engines.memory_records import is_stale
from penstock.message import Record

__all__ = ["expiry", "pack", "refuses", "unpack"]

_HEAD = b'{"penstock":'
_READY = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
_LONGEST_LENGTH = 30 * 86_400  # seconds: memcached reads what is more as a moment


class _Beside(msgspec.Struct, frozen=True, omit_defaults=True):
    key: str
    attempt: int
    final: bool
    state: str
    ttl: float | None = None
    end: float | None = None  # wall time
    document: str | None = None  # base64, where it is no map of JSON


_encode = msgspec.json.Encoder().encode
_scan = json.JSONDecoder().raw_decode


class _Document(msgspec.Struct):
    status: str = "PENDING"


def pack(record: Record, now: float) -> bytes:
    """The value of a record."""
    document = record.document
    told = None if _is_map(document) else binascii.b2a_base64(document, newline=False).decode()
    beside = _Beside(
        record.key,
        record.attempt,
        record.final,
        record.state,
        record.ttl,
        None if record.ttl is None else now + record.ttl,
        told,
    )
    rest = b"{}" if told is not None else document.lstrip()
    inner = rest[1:].lstrip()
    return _HEAD + _encode(beside) + (b"" if inner.startswith(b"}") else b",") + inner


def _is_map(document: bytes) -> bool:
    try:
        return isinstance(json.loads(document), dict)
    except (ValueError, RecursionError):
        return False


def unpack(task_id: str, value: bytes, now: float) -> Record | None:
    """The record in a value, None when its time is over."""
    if not value.startswith(_HEAD):
        return _theirs(task_id, value)
    try:
        text = value.decode()
        told, end = _scan(text, len(_HEAD))
        beside = msgspec.convert(told, _Beside)
        document = _document(beside, text[end:])
    except (ValueError, msgspec.ValidationError):
        return _theirs(task_id, value)
    if beside.end is not None and beside.end <= now:
        return None
    return Record(
        task_id, beside.state, document, beside.key, beside.attempt, beside.final, beside.ttl
    )


def _document(beside: _Beside, rest: str) -> bytes:
    if beside.document is not None:
        return binascii.a2b_base64(beside.document)
    return ("{" + rest.removeprefix(",")).encode()


def _theirs(task_id: str, value: bytes) -> Record:
    """What a Celery process wrote."""
    try:
        state = str(json.loads(value)["status"])
    except (ValueError, TypeError, KeyError, RecursionError):
        state = "FAILURE"  # whoever reads the document is told what is wrong with it
    return Record(task_id, state, value, final=state in _READY)


def refuses(current: Record | None, record: Record) -> bool:
    """True when ``record`` must not replace ``current``."""
    if current is not None and not current.key and current.state == "SUCCESS":
        return record != current  # as Celery has it: nothing follows a success
    return is_stale(record, current)


def expiry(ttl: float | None, now: float) -> int:
    """A lifetime as memcached takes it; never shorter than it is."""
    if ttl is None:
        return 0
    length = max(1, math.ceil(ttl) + 1)
    return length if length <= _LONGEST_LENGTH else math.ceil(now) + length
