"""The broker's statements on PostgreSQL, and the values that they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.brokers import rows
from penstock.engines.postgres_values import blobs, copied, floats, integers, json_texts, texts
from penstock.engines.statements import Statements
from penstock.message import Message

__all__ = ["SQL", "copy_rows", "message_arrays"]

SQL = Statements("penstock.brokers.sql.postgres")

# Of `rows.message_row`: key, id, queue, state, priority, since, ready_at, expires_at, headers,
# properties, body. For COPY, `due` stands behind `ready_at`.
_COPIED = "ttthiddddjjb"


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


def copy_rows(messages: Sequence[Message], now: float) -> bytes:
    """What `copy` takes."""
    told = []
    for message in messages:
        *head, ready_at, expires_at, headers, properties, body = rows.message_row(message, now)
        due = ready_at if head[3] else None
        told.append((*head, ready_at, due, expires_at, headers, properties, body))
    return copied(told, _COPIED)
