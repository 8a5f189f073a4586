"""Result records on a PostgreSQL server, for the store and for the broker's settlements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from penstock.engines.pending import Pending
from penstock.engines.postgres_batch import Batch
from penstock.engines.postgres_schema import SQL
from penstock.engines.postgres_values import blobs, flags, floats, integers, texts
from penstock.message import Record

__all__ = ["SQL", "as_kept", "distinct", "get_records", "put_records", "record_arrays"]

_NONE = Record("", "", b"")


def record_arrays(records: Sequence[Record | None], *, prefix: str = "") -> dict[str, Any]:
    """What the statements take; where there is no record, its id is NULL."""
    told = [record or _NONE for record in records]
    values: dict[str, Any] = {
        "ids": texts(None if record is None else record.id for record in records),
        "states": texts(record.state for record in told),
        "keys": texts(record.key for record in told),
        "attempts": integers(record.attempt for record in told),
        "finals": flags(record.final for record in told),
        "ttls": floats(record.ttl for record in told),
        "documents": blobs([record.document for record in told]),
    }
    return {prefix + name: value for name, value in values.items()}


def put_records(batch: Batch, records: Sequence[Record], now: float | None) -> Pending:
    """Store records of different ids; the reply: (place, is it a repeat) of those refused."""
    return batch.call(SQL.put_records, now=now, **record_arrays(records))


def distinct(records: Sequence[Record]) -> Iterator[list[Record]]:
    """The records in order, cut where an id comes again."""
    part: list[Record] = []
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            yield part
            part, seen = [], set()
        part.append(record)
        seen.add(record.id)
    yield part


def get_records(batch: Batch, ids: Sequence[str], now: float | None) -> Pending:
    """The record of each id."""

    def in_order(found: list[tuple[Any, ...]]) -> list[Record | None]:
        there = {row[0]: Record(*row) for row in found}
        return [there.get(as_kept(task_id)) for task_id in ids]

    return batch.call(SQL.get_records, ids=texts(ids), now=now).then(in_order)


def as_kept(text: str) -> str:
    """A text as it comes back."""
    return text if text.isascii() and "\x00" not in text else _kept(text)


def _kept(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
