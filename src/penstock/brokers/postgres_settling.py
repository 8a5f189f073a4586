"""Settlements on a PostgreSQL server: one statement for each kind of ending in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any

from penstock.brokers.postgres_statements import SQL, message_arrays
from penstock.engines.pending import Pending
from penstock.engines.postgres_batch import Batch, apart
from penstock.engines.postgres_records import record_arrays
from penstock.engines.postgres_values import integers, texts
from penstock.message import Again, Dead, Settlement
from penstock.plan import Exchange, Plan

__all__ = ["settled"]

Part = list[tuple[int, Settlement]]  # settlements with their places in the batch


def settled(
    settlements: Sequence[Settlement], *, now: float | None, wall: float
) -> Plan[list[Settlement]]:
    """End leases; gives those settlements that were refused."""
    parts = [(kind, list(part)) for kind, part in _parts(settlements)]

    def settle(batch: Batch) -> list[Pending]:
        return [_ask(batch, kind, part, now, wall) for kind, part in parts]

    rings = tuple(dict.fromkeys(bell for settlement in settlements for bell in _bells(settlement)))
    counts = yield Exchange("settle", settle, rings=rings)
    doubtful = [part for part, count in zip(parts, counts, strict=True) if count < len(part[1])]
    if not doubtful:
        return []

    def look(batch: Batch) -> list[Pending]:
        return [_ask_who_ended(batch, kind, part) for kind, part in doubtful]

    ended = yield Exchange("settled", look, writes=False)
    lost = [
        place
        for (_, part), found in zip(doubtful, ended, strict=True)
        for number, (place, _) in enumerate(part, 1)
        if number not in found
    ]
    return [settlements[place] for place in sorted(lost)]


def _parts(settlements: Sequence[Settlement]) -> Iterator[tuple[str, Part]]:
    """Those of one kind together, but of no publication and no task two in one statement."""
    for places in apart(set(_names(settlement)) for settlement in settlements):
        group = [(place, settlements[place]) for place in places]
        by_kind = sorted(group, key=lambda one: _kind(one[1]))
        for kind, part in groupby(by_kind, key=lambda one: _kind(one[1])):
            yield kind, list(part)


def _names(settlement: Settlement) -> Iterator[tuple[str, str]]:
    """The publications and the task that it writes."""
    yield "key", settlement.lease.message.key
    if isinstance(settlement, Again):
        yield "key", settlement.message.key
    if settlement.record is not None:
        yield "id", settlement.record.id


def _kind(settlement: Settlement) -> str:
    if isinstance(settlement, Again):
        same = settlement.message.key == settlement.lease.message.key
        return "back" if same else "again"
    return "dead" if isinstance(settlement, Dead) else "done"


def _bells(settlement: Settlement) -> Iterator[str]:
    if isinstance(settlement, Again):
        yield f"work:{settlement.message.queue}"
    if settlement.record is not None and settlement.record.final:
        yield f"done:{settlement.record.id}"


@cache
def _statement(kind: str, *, records: bool) -> str:
    parts = [SQL.clock, getattr(SQL, f"end_{kind}")]
    if kind != "back":
        parts.append(SQL.noted)
    if records:
        parts.append(SQL.stored)
    return " ".join([*parts, SQL.counted])


def _ask(batch: Batch, kind: str, part: Part, now: float | None, wall: float) -> Pending:
    settlements = [settlement for _, settlement in part]
    values: dict[str, Any] = {"now": now, **_fences(part)}
    if kind in _EXTRAS:
        values |= _EXTRAS[kind](settlements, wall)
    records = [settlement.record for settlement in settlements]
    there = any(record is not None for record in records)
    if there:
        values |= record_arrays(records, prefix="record_")
    return batch.value(_statement(kind, records=there), **values)


def _ask_who_ended(batch: Batch, kind: str, part: Part) -> Pending:
    sql = SQL.returned_by if kind == "back" else SQL.ended_by
    return batch.call(sql, **_fences(part)).then(lambda found: {place for (place,) in found})


def _fences(part: Part) -> dict[str, Any]:
    leases = [settlement.lease for _, settlement in part]
    return {
        "keys": texts(lease.message.key for lease in leases),
        "fences": integers(lease.fence for lease in leases),
    }


def _reasons(settlements: Sequence[Any], _wall: float) -> dict[str, Any]:
    return {"reasons": texts(settlement.reason for settlement in settlements)}


def _messages(settlements: Sequence[Any], wall: float) -> dict[str, Any]:
    moments = [max(0.0, settlement.at) for settlement in settlements]
    told = message_arrays([settlement.message for settlement in settlements], wall, moments)
    return {"new_keys": told.pop("keys"), **told}


_EXTRAS: dict[str, Callable[[Sequence[Any], float], dict[str, Any]]] = {
    "dead": _reasons,
    "again": _messages,
    "back": _messages,
}
