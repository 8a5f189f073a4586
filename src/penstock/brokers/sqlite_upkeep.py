"""What a SQLite file needs done from time to time: leases that end, delays, things to prune."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.brokers.sqlite_claim import SQL
from penstock.brokers.sqlite_holders import bury
from penstock.clock import Clock
from penstock.engines.sqlite_records import SQL as RECORDS

if TYPE_CHECKING:
    import apsw

__all__ = ["CHUNK", "Sweep", "advance", "enter_boot", "next_due", "prune", "rubbish"]

CHUNK = 1000  # rows that one transaction prunes or readies at most: it holds up every other writer

_WINDOW = 200  # results that a sweep looks at: some ten pages

_DONE_KEPT = 60.0  # seconds, as all of these; longer than anybody repeats an exchange
_DEAD_KEPT = 7 * 86_400.0
_ANNOUNCEMENT_KEPT = 60.0
_MEMBER_KEPT = 7 * 86_400.0


def advance(connection: apsw.Connection, clock: Clock, dead: Sequence[int] = ()) -> None:
    """Ready the delays that are due, and end leases: those past their time, those of the dead."""
    if next_due(connection, clock) == 0:  # asking costs 2 us, the two updates cost 30
        connection.execute(SQL.ready_delayed, (clock.wall(), CHUNK))
        connection.execute(SQL.end_leases, (clock.boot(),))
    if dead:
        bury(connection, dead)


def next_due(connection: apsw.Connection, clock: Clock) -> float | None:
    """Seconds until the next delay or lease ends; None where there is none."""
    ((ready_at, until),) = connection.execute(SQL.due)
    waits = []
    if ready_at is not None:
        waits.append(ready_at - clock.wall())
    if until is not None:
        waits.append(until - clock.boot())
    return max(0.0, min(waits)) if waits else None


def enter_boot(connection: apsw.Connection, clock: Clock) -> None:
    """Void what was timed by an earlier boot, if the machine has restarted: leases, tombstones."""
    boot_id = clock.boot_id()
    known = connection.execute(SQL.boot).get
    if known != boot_id:
        connection.execute(SQL.void_leases)
        connection.execute(SQL.forget_done, (clock.boot(),))
        connection.execute(SQL.set_boot, (boot_id,))


def rubbish(connection: apsw.Connection, clock: Clock) -> bool:
    """True when there is something to prune."""
    now = clock.wall()
    ages = (
        clock.boot() - _DONE_KEPT,
        now - _DEAD_KEPT,
        now - _ANNOUNCEMENT_KEPT,
        now - _MEMBER_KEPT,
    )
    return bool(connection.execute(SQL.rubbish, (*ages, now)).get)


def prune(connection: apsw.Connection, clock: Clock) -> bool:
    """Drop what nobody needs any more, a chunk of it; True when there is more."""
    now = clock.wall()
    before = connection.total_changes()
    prune_done(connection, clock.boot(), CHUNK)
    for sql, limit in (
        (SQL.prune_dead, now - _DEAD_KEPT),
        (SQL.prune_announcements, now - _ANNOUNCEMENT_KEPT),
        (SQL.prune_revoked, now),
        (RECORDS.prune_groups, now - _MEMBER_KEPT),
    ):
        room = CHUNK - (connection.total_changes() - before)
        connection.execute(sql, (limit, room))
    return connection.total_changes() - before >= CHUNK


def prune_done(connection: apsw.Connection, boot: float, limit: int) -> None:
    """Drop tombstones that are old enough; by boot time, for a wall clock may jump over it."""
    connection.execute(SQL.prune_done, (boot - _DONE_KEPT, limit))


class Sweep:
    """Walks through the results, a window at a time, and drops what has expired.

    Nobody reads what has expired, so that it may lie for a while: until the walk, which begins
    with the oldest, comes by again.
    """

    def __init__(self) -> None:
        self._from = self._to = ""

    def look(self, connection: apsw.Connection, clock: Clock) -> bool:
        """Look at the next window; True when something in it has expired."""
        found = (self._to, _WINDOW, clock.wall())
        ((last, expired),) = connection.execute(RECORDS.expired, found)
        self._from, self._to = self._to, last or ""  # behind the last one it begins anew
        return bool(expired)

    def drop(self, connection: apsw.Connection, clock: Clock) -> bool:
        """Drop what has expired in that window; True when there was any, and so may be more."""
        before = connection.total_changes()
        connection.execute(RECORDS.prune_results, (self._from, self._to, clock.wall()))
        return connection.total_changes() > before
