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
from penstock.plan import Exchange, Plan
from penstock.results.told import ToldStore
from penstock.url import Url

if TYPE_CHECKING:
    import apsw

__all__ = ["SqliteStore"]

_DONE = "done"


class SqliteStore(ToldStore):
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

        found = yield Exchange("get", get, writes=False, lone=len(ids) == 1)
        return found  # type: ignore[no-any-return]

    def _bells(self, ids: Sequence[str]) -> tuple[str, ...]:
        return (_DONE,)  # one bell for all: who hears it looks

    def _hears(self) -> bool:
        return True

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
