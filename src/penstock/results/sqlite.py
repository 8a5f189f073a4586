"""The result store in a SQLite file.

One with the broker of the same file: a task's end and its result are then one transaction.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.sqlite import SqliteFile
from penstock.engines.sqlite_records import SQL, get_records, put_records
from penstock.message import Record
from penstock.plan import Exchange, Listen, Plan, Wait
from penstock.results.base import PlannedStore
from penstock.url import Url

if TYPE_CHECKING:
    import apsw

__all__ = ["SqliteStore"]

_DONE = "done"
_LONGEST_WAIT = 30.0  # look again after so long, should a ring ever be lost (the folder deleted)


class SqliteStore(PlannedStore):
    """Results of tasks in one file, for the processes of one machine."""

    engine: SqliteFile

    def __init__(self, *, engine: SqliteFile, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._clock = clock

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> SqliteStore:
        """The store in the file of ``sqlite:///name.db``."""
        return cls(engine=SqliteFile.at(url), clock=clock)

    def close(self) -> None:
        self.engine.close()

    def _put(self, records: Sequence[Record]) -> Plan[list[Record]]:
        def put(connection: apsw.Connection) -> list[Record]:
            return put_records(connection, records, self._clock.wall())

        # A state on the way (STARTED, progress) is void after a power loss: its run is, too.
        durable = any(record.final for record in records)
        refused = yield Exchange("put", put, durable=durable, rings=(_DONE,))
        return refused  # type: ignore[no-any-return]

    def _get(self, ids: Sequence[str]) -> Plan[list[Record | None]]:
        def get(connection: apsw.Connection) -> list[Record | None]:
            return get_records(connection, ids, self._clock.wall())

        found = yield Exchange("get", get, writes=False)
        return found  # type: ignore[no-any-return]

    def _wait(self, ids: Sequence[str], timeout: float | None) -> Plan[list[Record | None]]:
        found = yield from self._get(ids)
        if _complete(found) or (timeout is not None and timeout <= 0):
            return found
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        listener = yield Listen((_DONE,))
        try:
            while True:
                found = yield from self._renewed(ids, found)
                left = _LONGEST_WAIT if deadline is None else deadline - self._clock.monotonic()
                if _complete(found) or left <= 0:
                    return found
                nap = min(left, _LONGEST_WAIT)
                if not (yield Wait(listener, nap)) and deadline is not None and nap == left:
                    return (yield from self._renewed(ids, found))
        finally:
            listener.close()

    def _renewed(self, ids: Sequence[str], found: list[Record | None]) -> Plan[list[Record | None]]:
        """Look again for those without an end: of ten thousand waited for, only the rest."""
        open_ids = [
            task_id for task_id, record in zip(ids, found, strict=True) if not _ended(record)
        ]
        news = iter((yield from self._get(open_ids)))
        return [record if _ended(record) else next(news) for record in found]

    def _forget(self, ids: Sequence[str]) -> Plan[None]:
        def forget(connection: apsw.Connection) -> None:
            connection.executemany(SQL.forget_record, [(task_id,) for task_id in ids])

        yield Exchange("forget", forget)

    def _arrive(self, group: str, member: str, size: int) -> Plan[bool]:
        token = random.getrandbits(62)

        def arrive(connection: apsw.Connection) -> bool:
            connection.execute(SQL.arrive, (group, member, token, self._clock.wall()))
            ordinal = connection.execute(SQL.arrived, (group, member, token)).get
            return bool(ordinal == size)

        last = yield Exchange("arrive", arrive)
        return last  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"SqliteStore({self.engine.location.path!r})"


def _ended(record: Record | None) -> bool:
    return record is not None and record.final


def _complete(found: Sequence[Record | None]) -> bool:
    return all(map(_ended, found))
