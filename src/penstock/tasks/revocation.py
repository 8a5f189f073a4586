"""Writing down that tasks are revoked: for every claim to see, and for who waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.errors import TaskRevokedError
from penstock.message import Record
from penstock.wire.result import ResultDocument, encode_result, exception_document

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.results.base import ResultStore

__all__ = ["record_revoked"]

_FOR_EVER = 10 * 365 * 86400.0  # seconds: revoked ids always have a lifetime
_NOT_BEGUN = frozenset({"PENDING", "RECEIVED", "RETRY"})


def record_revoked(
    ids: Sequence[str], *, broker: Broker, store: ResultStore, now: float, ttl: float | None
) -> None:
    """Mark ids as revoked, and store REVOKED for those that have neither started nor ended.

    ``now`` is wall time, ``ttl`` how long results are kept in seconds (None: for ever).
    """
    found = store.get(ids)
    open_ids = [
        task_id
        for task_id, record in zip(ids, found, strict=True)
        if record is None or record.state in _NOT_BEGUN
    ]
    if open_ids:
        store.put([_revocation(task_id, now, ttl) for task_id in open_ids])
    if broker.capabilities.revokes:
        broker.revoke(ids, ttl or _FOR_EVER)


def _revocation(task_id: str, now: float, ttl: float | None) -> Record:
    document = ResultDocument(
        task_id=task_id,
        status="REVOKED",
        result=exception_document(TaskRevokedError("revoked")),
        date_done=now,
    )
    return Record(
        id=task_id, state="REVOKED", document=encode_result(document), final=True, ttl=ttl
    )
