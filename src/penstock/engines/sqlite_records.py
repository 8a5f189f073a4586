"""Result records in a penstock SQLite file, within the transaction of whoever calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.engines.statements import Statements
from penstock.message import Record

if TYPE_CHECKING:
    import apsw

__all__ = ["SQL", "get_records", "put_records"]

SQL = Statements("penstock.engines.sql")


def put_records(connection: apsw.Connection, records: Sequence[Record], now: float) -> list[Record]:
    """Store records at wall time ``now``; gives those that were refused as stale."""
    refused: list[Record] = []
    for record in records:
        connection.execute(SQL.put_record, _row(record, now))
        if not connection.changes():
            if _is_there(connection, record):  # a repeat: what came before it was stored, too
                refused = [other for other in refused if other.id != record.id]
            else:
                refused.append(record)
    return refused


def _is_there(connection: apsw.Connection, record: Record) -> bool:
    same = (record.id, record.state, record.key, record.attempt, record.document)
    return bool(list(connection.execute(SQL.same_record, same)))


def get_records(connection: apsw.Connection, ids: Sequence[str], now: float) -> list[Record | None]:
    """The record of each id at wall time ``now``."""
    return [_record(list(connection.execute(SQL.get_record, (task_id, now)))) for task_id in ids]


def _row(record: Record, now: float) -> tuple[object, ...]:
    expires_at = None if record.ttl is None else now + record.ttl
    return (
        record.id, record.state, record.key, record.attempt, record.final,
        record.ttl, expires_at, record.document, now,
    )  # fmt: skip


def _record(rows: list[tuple[Any, ...]]) -> Record | None:
    if not rows:
        return None
    task_id, state, document, key, attempt, final, ttl = rows[0]
    return Record(task_id, state, document, key, attempt, bool(final), ttl)
