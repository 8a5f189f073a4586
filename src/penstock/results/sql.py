"""The result store in a database, in the tables of Celery's SQLAlchemy backend.

PostgreSQL wakes who waits for a result of penstock's; elsewhere, and for what a Celery worker
writes, a waiter looks again after pauses that grow.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.sql_database import SqlDatabase, Transaction
from penstock.engines.sql_ears import CHANNEL, payloads
from penstock.engines.sql_rows import as_record, as_rows, blank, refuses
from penstock.engines.sql_tables import ID_LENGTH
from penstock.errors import EncodeError
from penstock.message import Record, new_id
from penstock.plan import Exchange, Plan
from penstock.results.polled import PolledStore, done_bell
from penstock.results.too_large import as_failure
from penstock.url import Url

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["SqlStore"]

_LOG = logging.getLogger("penstock")
_CHUNK = 100  # records in one transaction, ids in one question
_SWEEP_EVERY = 60.0  # seconds between two looks for what has expired
_SWEPT = 1_000  # rows that one of them drops
_BLANK_KEPT = 86_400.0
_MEMBERS_KEPT = 7 * 86_400.0
_TOLD_PAUSE = 5.0  # seconds: a Celery worker does not tell


class SqlStore(PolledStore):
    """Results of tasks in a database. Celery's processes may share it."""

    engine: SqlDatabase

    def __init__(self, *, engine: SqlDatabase, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._clock = clock
        self._sweep_at = 0.0

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> SqlStore:
        """The store at ``db+postgresql://host/database`` and the like."""
        return cls(engine=SqlDatabase.at(url), clock=clock)

    def close(self) -> None:
        self.engine.close()

    def _longest_pause(self) -> float:
        return _TOLD_PAUSE if self.engine.tells else self.LONGEST_PAUSE

    # --- writing -----------------------------------------------------------------------------

    def _put(self, records: Sequence[Record]) -> Plan[list[Record]]:
        refused: list[Record] = []
        for start in range(0, len(records), _CHUNK):
            refused += yield from self._put_part(list(records[start : start + _CHUNK]))
        now = self._clock.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_EVERY
            yield Exchange("sweep", self._sweep)
        return refused

    def _put_part(self, records: list[Record]) -> Plan[list[Record]]:
        try:
            return (yield self._putting(records))  # type: ignore[no-any-return]
        except EncodeError as error:
            if len(records) == 1:
                return (yield from self._put_as_failure(records[0], error))
        refused: list[Record] = []
        for record in records:  # the one that does not fit hurts only itself
            refused += yield from self._put_part([record])
        return refused

    def _put_as_failure(self, record: Record, error: EncodeError) -> Plan[list[Record]]:
        why = f"its result of {len(record.document)} bytes does not fit: {error}"
        _LOG.error("Task %s: %s", record.id, why)
        if not record.final or len(record.id) > ID_LENGTH:
            return [record]
        refused = yield self._putting([as_failure(record, why)])
        return [record] if refused else []

    def _putting(self, records: list[Record]) -> Exchange:
        rings = tuple(done_bell(record.id) for record in records if record.final)
        return Exchange("put", lambda at: self._put_in(at, records), rings=rings)

    def _put_in(self, at: Transaction, records: list[Record]) -> list[Record]:
        now = self._clock.wall()
        ids = sorted({record.id for record in records})
        ours = _locked(at, ids, now + _BLANK_KEPT)
        theirs = _theirs_of(at, ids)
        refused, changed = [], set()
        for record in records:
            if refuses(theirs.get(record.id), ours.get(record.id), record, now):
                refused.append(record)
                continue
            rows = as_rows(record, now)
            theirs[record.id], ours[record.id] = rows.theirs, rows.ours
            changed.add(record.id)
        _write(at, [(theirs[task_id], ours[task_id]) for task_id in sorted(changed)])
        _tell(at, sorted({record.id for record in records if record.final} & changed))
        return refused

    def _sweep(self, at: Transaction) -> None:
        """Drop what has expired, so that the tables do not grow for ever."""
        import sqlalchemy as sa

        now = self._clock.wall()
        results, tasks, arrivals = at.tables.results, at.tables.tasks, at.tables.arrivals
        ended = sa.select(results.c.task_id).where(results.c.ends_at <= now).limit(_SWEPT)
        ids = list(at.connection.scalars(ended.with_for_update(skip_locked=True)))
        if ids:
            at.connection.execute(tasks.delete().where(tasks.c.task_id.in_(ids)))
            at.connection.execute(results.delete().where(results.c.task_id.in_(ids)))
        at.connection.execute(arrivals.delete().where(arrivals.c.at <= now - _MEMBERS_KEPT))

    # --- reading -----------------------------------------------------------------------------

    def _get(self, ids: Sequence[str]) -> Plan[list[Record | None]]:
        found: dict[str, Record | None] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]

            def get(at: Transaction, part: list[str] = part) -> dict[str, Record | None]:
                return self._get_in(at, part)

            found |= yield Exchange("get", get, writes=False)
        return [found.get(task_id) for task_id in ids]

    def _get_in(self, at: Transaction, ids: list[str]) -> dict[str, Record | None]:
        import sqlalchemy as sa

        tasks, results = at.tables.tasks, at.tables.results
        own = [column.label(f"own_{column.name}") for column in results.columns]
        both = tasks.outerjoin(results, tasks.c.task_id == results.c.task_id)
        asked = sa.select(*tasks.columns, *own).select_from(both).where(tasks.c.task_id.in_(ids))
        now = self._clock.wall()
        found: dict[str, Record | None] = {}
        for mapping in at.connection.execute(asked).mappings():
            row = {str(name): value for name, value in mapping.items()}
            ours = {column.name: row[f"own_{column.name}"] for column in results.columns}
            known = ours["task_id"] is not None and ours["state"] is not None
            found[row["task_id"]] = as_record(row, ours if known else None, now)
        return found

    def _forget(self, ids: Sequence[str]) -> Plan[None]:
        for start in range(0, len(ids), _CHUNK):
            part = list(ids[start : start + _CHUNK])

            def forget(at: Transaction, part: list[str] = part) -> None:
                for table in (at.tables.tasks, at.tables.results):
                    at.connection.execute(table.delete().where(table.c.task_id.in_(part)))

            yield Exchange("forget", forget)

    # --- groups ------------------------------------------------------------------------------

    def _arrive(self, group: str, member: str, size: int) -> Plan[bool]:
        claim = new_id()
        last = yield Exchange("arrive", lambda at: self._arrive_in(at, group, member, size, claim))
        return bool(last)

    def _arrive_in(self, at: Transaction, group: str, member: str, size: int, claim: str) -> bool:
        """The row of the group is locked, so that two last members come one after the other."""
        import sqlalchemy as sa

        table, now = at.tables.arrivals, self._clock.wall()
        mine = table.c.group_id == group
        row = {"group_id": group, "claim": "", "at": now}
        _put_unless_there(at, table, [row | {"member": ""}])
        whole = mine & (table.c.member == "")
        won = at.connection.scalar(sa.select(table.c.claim).where(whole).with_for_update())
        if won:
            return bool(won == claim)
        _put_unless_there(at, table, [row | {"member": f"m{member}"}])
        count = at.connection.scalar(sa.select(sa.func.count()).where(mine)) or 0
        if count - 1 < size:
            return False
        at.connection.execute(table.update().where(whole).values(claim=claim))
        return True

    def __repr__(self) -> str:
        return f"SqlStore({str(self.engine.url)!r})"


def _locked(at: Transaction, ids: list[str], blank_until: float) -> dict[str, dict[str, Any]]:
    """Our rows of these ids, made where there are none, and nobody else's until the commit."""
    import sqlalchemy as sa

    table = at.tables.results
    _put_unless_there(at, table, [blank(task_id, blank_until) for task_id in ids])
    asked = sa.select(table).where(table.c.task_id.in_(ids)).order_by(table.c.task_id)
    rows = at.connection.execute(asked.with_for_update()).mappings()
    return {row["task_id"]: dict(row) for row in rows}


def _theirs_of(at: Transaction, ids: list[str]) -> dict[str, Any]:
    """What is needed of Celery's rows to decide whether they may be replaced."""
    import sqlalchemy as sa

    table = at.tables.tasks
    columns = (table.c.task_id, table.c.status, table.c.date_done)
    asked = sa.select(*columns).where(table.c.task_id.in_(ids)).order_by(table.c.task_id)
    rows = at.connection.execute(asked.with_for_update()).mappings()
    return {row["task_id"]: row for row in rows}


def _write(at: Transaction, rows: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    if not rows:
        return
    tasks, results = at.tables.tasks, at.tables.results
    theirs = [{name: one[name] for name in one if name in tasks.c} for one, _ in rows]
    _put_in_place(at, tasks, theirs)
    _put_in_place(at, results, [ours for _, ours in rows])


def _tell(at: Transaction, ids: list[str]) -> None:
    """Wake who waits, when this commits."""
    if at.kind != "postgresql":
        return
    import sqlalchemy as sa

    for payload in payloads(ids):
        at.connection.execute(sa.select(sa.func.pg_notify(CHANNEL, payload)))


def _insert(at: Transaction, table: sa.Table) -> Any:
    if at.kind == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    if at.kind == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table)
    from sqlalchemy.dialects.mysql import insert as mysql_insert

    return mysql_insert(table)


# One statement for a row, run for many: the library compiles it once.


def _put_unless_there(at: Transaction, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    insert = _insert(at, table)
    if at.kind in {"mysql", "mariadb"}:
        # Not IGNORE: that locks a row that is there for reading, and two who then both want to
        # write it are a deadlock.
        (first, *_) = table.primary_key.columns
        insert = insert.on_duplicate_key_update({first.name: first})
    else:
        insert = insert.on_conflict_do_nothing()
    at.connection.execute(insert, rows)


def _put_in_place(at: Transaction, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    insert = _insert(at, table)
    names = [name for name in rows[0] if name != "task_id"]
    if at.kind in {"mysql", "mariadb"}:
        insert = insert.on_duplicate_key_update({name: insert.inserted[name] for name in names})
    else:
        told = {name: insert.excluded[name] for name in names}
        insert = insert.on_conflict_do_update(index_elements=["task_id"], set_=told)
    at.connection.execute(insert, rows)
