"""The result store on a PostgreSQL server.

One with the broker of the same schema: a task's end and its result are then one transaction.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.pending import Pending
from penstock.engines.postgres import PostgresServer
from penstock.engines.postgres_batch import Batch
from penstock.engines.postgres_records import SQL, distinct, get_records, put_records
from penstock.engines.postgres_schema import Schema
from penstock.engines.postgres_values import texts
from penstock.message import Record
from penstock.plan import Exchange, Plan
from penstock.results.told import ToldStore
from penstock.url import Url

__all__ = ["PostgresStore"]


class PostgresStore(ToldStore):
    """Results of tasks in one schema of a server."""

    LONGEST_WAIT = 5.0  # seconds

    engine: PostgresServer

    def __init__(self, *, engine: PostgresServer, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._clock = clock

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> PostgresStore:
        """The store at ``postgresql://host/database``."""
        return cls(engine=PostgresServer.at(url), clock=clock)

    def close(self) -> None:
        self.engine.close()

    @property
    def schema(self) -> Schema:
        """The tables, for whoever administers them."""
        return self.engine.administration

    @property
    def _now(self) -> float | None:
        """What the server is told of the time: nothing, so that it goes by its own."""
        return None if self._clock is SYSTEM_CLOCK else self._clock.wall()

    def _put(self, records: Sequence[Record]) -> Plan[list[Record]]:
        parts = list(distinct(records))

        def put(batch: Batch) -> list[Pending]:
            return [put_records(batch, part, self._now) for part in parts]

        ended = [record.id for record in records if record.final]
        # A state on the way (STARTED, progress) need not outlive the server's crash.
        rings = tuple(f"done:{task_id}" for task_id in ended)
        replies = yield Exchange("put", put, durable=bool(ended), rings=rings)
        refused: list[Record] = []
        for part, reply in zip(parts, replies, strict=True):
            for place, is_repeat in reply:
                record = part[place - 1]
                if is_repeat:  # what came before it was stored, too
                    refused = [other for other in refused if other.id != record.id]
                else:
                    refused.append(record)
        return refused

    def _get(self, ids: Sequence[str]) -> Plan[list[Record | None]]:
        if not ids:
            return []
        found = yield Exchange("get", lambda b: get_records(b, ids, self._now), writes=False)
        return found  # type: ignore[no-any-return]

    def _bells(self, ids: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"done:{task_id}" for task_id in dict.fromkeys(ids))

    def _hears(self) -> bool:
        return self.engine.hears("done")

    def _forget(self, ids: Sequence[str]) -> Plan[None]:
        yield Exchange("forget", lambda b: b.call(SQL.forget_records, ids=texts(ids)))

    def _arrive(self, group: str, member: str, size: int) -> Plan[bool]:
        who = {"party": group, "member": member, "token": random.getrandbits(62)}

        def arrive(batch: Batch) -> Pending:
            batch.call(SQL.arrive, now=self._now, **who)
            batch.call(SQL.count_member, **who)
            return batch.value(SQL.arrived, **who)

        ordinal = yield Exchange("arrive", arrive)
        return bool(ordinal == size)

    def __repr__(self) -> str:
        return f"PostgresStore({str(self.engine.url)!r})"
