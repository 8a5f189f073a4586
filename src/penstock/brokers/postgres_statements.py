"""The broker's statements on PostgreSQL, and the values that they take."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from penstock.brokers import rows
from penstock.engines.postgres_values import as_text, blobs, floats, integers, json_texts, texts
from penstock.engines.statements import Statements
from penstock.message import Message

__all__ = ["SQL", "copy_rows", "message_arrays", "message_values"]

SQL = Statements("penstock.brokers.sql.postgres")


def message_arrays(
    messages: Sequence[Message], now: float, at: Sequence[float] = ()
) -> dict[str, Any]:
    """What `publish` takes for messages that arrive at ``now``, none ready before its ``at``."""
    moments = at or [0.0] * len(messages)
    told = [rows.message_row(m, now, moment) for m, moment in zip(messages, moments, strict=True)]
    keys, ids, queues, states, priorities, sinces, readies, expires, headers, properties, bodies = (
        zip(*told, strict=True)
    )
    return {
        "keys": texts(keys),
        "ids": texts(ids),
        "queues": texts(queues),
        "states": integers(states),
        "priorities": integers(priorities),
        "sinces": floats(sinces),
        "readies": floats(readies),
        "expires": floats(expires),
        "headers": json_texts(headers),
        "properties": json_texts(properties),
        "bodies": blobs(bodies),
    }


def message_values(message: Message, now: float) -> dict[str, Any]:
    """What `publish_one` takes for a message that arrives at ``now``."""
    row = rows.message_row(message, now)
    key, task_id, queue, state, priority, since, ready_at, expires_at, *content = row
    headers, properties, body = content
    return {
        "key": key,
        "id": task_id,
        "queue": queue,
        "state": state,
        "priority": priority,
        "since": since,
        "ready_at": float(ready_at),  # type: ignore[arg-type] # a row is of objects
        "due": float(ready_at) if state == rows.DELAYED else None,  # type: ignore[arg-type]
        "expires_at": expires_at,
        "headers": headers.decode(),  # type: ignore[attr-defined]
        "properties": properties.decode(),  # type: ignore[attr-defined]
        "body": body,
    }


# What a binary COPY takes: a head, rows of counted columns each behind its length, an end.
_HEAD, _END = b"PGCOPY\n\xff\r\n\x00" + bytes(8), b"\xff\xff"
_COLUMNS, _PIECE = 12, 100  # of a row; rows that are written at once
_NULL = (-1,)


@lru_cache(1024)
def _writer(nulls: tuple[bool, bool], lengths: tuple[int, ...]) -> Callable[..., bytes]:
    """Writes a row of such a form in one call; column by column takes four times as long."""
    key, task_id, queue, *content = (f"i{length}s" for length in lengths)
    due, expires_at = ("i" if null else "id" for null in nulls)
    names, numbers = f"{key}{task_id}{queue}", "ihiiidid"
    return struct.Struct(f">h{names}{numbers}{due}{expires_at}{''.join(content)}").pack


def copy_rows(messages: Sequence[Message], now: float) -> Iterator[bytes]:
    """What `copy` takes, in pieces."""
    yield _HEAD
    for start in range(0, len(messages), _PIECE):
        part = messages[start : start + _PIECE]
        yield b"".join([_copied(rows.message_row(message, now)) for message in part])
    yield _END


def _copied(row: Any) -> bytes:
    key, task_id, queue, state, priority, since, ready_at, expires_at, headers, properties, body = (
        row
    )
    same = task_id is key
    key = as_text(key)
    task_id = key if same else as_text(task_id)
    queue = _queue(queue)
    due = (8, ready_at) if state else _NULL
    end = _NULL if expires_at is None else (8, expires_at)
    k, i, q, h, p, b = lengths = (
        len(key), len(task_id), len(queue), len(headers), len(properties), len(body)
    )  # fmt: skip
    return _writer((due is _NULL, end is _NULL), lengths)(
        _COLUMNS, k, key, i, task_id, q, queue,
        2, state, 4, priority, 8, since, 8, ready_at, *due, *end,
        h, headers, p, properties, b, body,
    )  # fmt: skip


_queue = lru_cache(128)(as_text)
