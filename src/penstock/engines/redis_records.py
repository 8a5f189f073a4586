"""Result records on a Redis server: Celery's documents, and beside each what it cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.engines.redis_batch import Batch, Pending, Script
from penstock.message import Record

__all__ = ["CHUNK", "PUT", "Beside", "as_told", "as_words", "get_records", "meta_key"]

PUT = Script.of("engines/lua/record.lua", "engines/lua/put.lua")
CHUNK = 200  # records in one script
_READY = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


class Beside(msgspec.Struct, frozen=True):
    """What penstock keeps of a record beside Celery's document."""

    key: str
    attempt: int
    final: bool
    state: str
    ttl: float | None
    end: float | None  # wall time


_decode = msgspec.json.Decoder(Beside).decode


class _Document(msgspec.Struct):
    status: str = "PENDING"


_decode_document = msgspec.json.Decoder(_Document).decode


def meta_key(prefix: str, task_id: str) -> str:
    """The key, and the channel, of a result."""
    return f"{prefix}celery-task-meta-{task_id}"


def as_words(record: Record, now: float) -> tuple[str | bytes | int, ...]:
    """A record as scripts take it."""
    ttl = record.ttl
    beside = Beside(
        record.key,
        record.attempt,
        record.final,
        record.state,
        ttl,
        None if ttl is None else now + ttl,
    )
    lives = "" if ttl is None else max(1, round(ttl * 1000))
    said = msgspec.json.encode(beside)
    return (record.id, record.document, said, record.key, record.attempt, lives)


def get_records(batch: Batch, prefix: str, ids: Sequence[str], now: float) -> Pending:
    """The current record of each id, None where there is none."""
    documents = [meta_key(prefix, task_id) for task_id in ids]
    besides = [f"{prefix}penstock.result-{task_id}" for task_id in ids]

    def read(found: list[Any]) -> list[Record | None]:
        half = len(ids)
        return [
            _record(task_id, document, beside, now)
            for task_id, document, beside in zip(ids, found[:half], found[half:], strict=True)
        ]

    return batch.call("MGET", *documents, *besides).then(read)


def _record(task_id: str, document: bytes | None, said: bytes | None, now: float) -> Record | None:
    if document is None:
        return None
    if said is None:  # a Celery worker wrote it
        return as_told(task_id, document)
    try:
        beside = _decode(said)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # somebody wrote over it
        return as_told(task_id, document)
    if beside.end is not None and beside.end <= now:
        return None
    return Record(
        task_id, beside.state, document, beside.key, beside.attempt, beside.final, beside.ttl
    )


def as_told(task_id: str, document: bytes) -> Record:
    """A record of which there is the document alone: one by a Celery worker, or as published."""
    try:
        state = _decode_document(document).status
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        state = "FAILURE"  # whoever reads the document is told what is wrong with it
    return Record(task_id, state, document, final=state in _READY)
