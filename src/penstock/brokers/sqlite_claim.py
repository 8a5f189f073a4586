"""Claims and settlements on a SQLite file, each within one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from penstock.brokers import rows
from penstock.clock import Clock
from penstock.engines.rows import changed
from penstock.engines.sqlite_records import put_records
from penstock.engines.statements import Statements
from penstock.message import Again, Dead, Lease, Settlement

if TYPE_CHECKING:
    import apsw

__all__ = ["SQL", "Row", "fair_shares", "in_turn", "settle"]

SQL = Statements("penstock.brokers.sql.sqlite")

Row = tuple[Any, ...]


def fair_shares(
    queues: Sequence[str], limit: int, claim: Callable[[str, int], list[Row]]
) -> list[list[Row]]:
    """Claim up to ``limit`` rows: each queue its share, and what one leaves goes to the others."""
    if len(queues) == 1:
        return [claim(queues[0], limit)] if limit > 0 else []
    found: dict[str, list[Row]] = {queue: [] for queue in queues}
    hungry = list(found)
    while limit > 0 and hungry:
        share, odd = divmod(limit, len(hungry))
        left = []
        for place, queue in enumerate(hungry):
            wish = share + (place < odd)
            rows = claim(queue, wish) if wish else []
            found[queue] += rows
            limit -= len(rows)
            if len(rows) == wish:
                left.append(queue)
        hungry = left
    return list(found.values())


def in_turn(claimed: list[list[Row]]) -> list[Lease]:
    """Leases from the rows of each queue: best first, and one of each queue after the other."""
    if len(claimed) == 1:
        (only,) = claimed
        best_first = sorted(only, key=rows.order) if len(only) > 1 else only
        return [rows.lease(row) for row in best_first]
    mixed = zip_longest(*(sorted(part, key=rows.order) for part in claimed))
    return [rows.lease(row) for row in chain.from_iterable(mixed) if row is not None]


def settle(
    connection: apsw.Connection, settlements: Sequence[Settlement], clock: Clock
) -> list[int]:
    """End leases and store the records that come along; gives the places of those lost."""
    lost, records = [], []
    for place, settlement in enumerate(settlements):
        if not _ended(connection, settlement, clock):
            if not _is_repeat(connection, settlement):
                lost.append(place)
        elif settlement.record is not None:
            records.append(settlement.record)
    put_records(connection, records, clock.wall())
    return lost


def _ended(connection: apsw.Connection, settlement: Settlement, clock: Clock) -> bool:
    lease = settlement.lease
    key, fence = lease.message.key, lease.fence
    if type(settlement) is Again:
        return _again(connection, settlement, clock)
    if type(settlement) is Dead:
        connection.execute(SQL.bury, (clock.wall(), settlement.reason, key, fence))
    return changed(connection, SQL.done, (clock.boot(), key, fence))


def _again(connection: apsw.Connection, settlement: Again, clock: Clock) -> bool:
    lease, message, at = settlement.lease, settlement.message, settlement.at
    if message.key == lease.message.key:
        row = rows.changed_row(message, at, lease.fence, clock.wall())
        return changed(connection, SQL.hand_back, row)
    fence = (clock.boot(), lease.message.key, lease.fence)
    ended = changed(connection, SQL.done, fence)
    if ended:
        connection.execute(SQL.publish, rows.message_row(message, clock.wall(), at))
    return ended


def _is_repeat(connection: apsw.Connection, settlement: Settlement) -> bool:
    key, fence = settlement.lease.message.key, settlement.lease.fence
    back = isinstance(settlement, Again) and settlement.message.key == key
    asked = SQL.was_handed_back if back else SQL.was_settled
    return bool(list(connection.execute(asked, (key, fence))))
