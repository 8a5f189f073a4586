"""Result records in a penstock SQLite file, within the transaction of whoever calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.engines.statements import Statements
from penstock.message import Record

if TYPE_CHECKING:
    import apsw

__all__ = ["SQL", "get_records", "put_records"]

SQL = Statements("penstock.engines.sql")


def put_records(
    connection: apsw.Connection, records: Sequence[Record], now: float
) -> list[Record]:
    """Store records at wall time ``now``; gives those that were refused as stale."""
    refused = []
    for record in records:
        if not list(connection.execute(SQL.put_record, _row(record, now))):
            same = (record.id, record.state, record.key, record.attempt, record.document)
            if not list(connection.execute(SQL.same_record, same)):
                refused.append(record)
    return refused


def get_records(
    connection: apsw.Connection, ids: Sequence[str], now: float
) -> list[Record | None]:
    """The record of each id at wall time ``now``."""
    return [_record(list(connection.execute(SQL.get_record, (id, now)))) for id in ids]


def _row(record: Record, now: float) -> tuple[object, ...]:
    expires_at = None if record.ttl is None else now + record.ttl
    return (
        record.id, record.state, record.key, record.attempt, record.final,
        record.ttl, expires_at, record.document, now,
    )  # fmt: skip


def _record(rows: list[tuple[object, ...]]) -> Record | None:
    if not rows:
        return None
    id, state, document, key, attempt, final, ttl = rows[0]
    return Record(id, state, document, key, attempt, bool(final), ttl)  # type: ignore[arg-type]
