"""The result store on a Redis server, in Celery's keys and JSON.

A waiter subscribes to the channel on which a result is told, then reads once, then waits. One
connection of the process hears for all waiters; when it had to connect anew, each reads again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.redis import RedisServer
from penstock.engines.redis_batch import Batch, Pending
from penstock.engines.redis_records import CHUNK, PUT, as_words, get_records, meta_key
from penstock.errors import Unavailable, Uncertain
from penstock.message import Record, new_id
from penstock.plan import Exchange, Listen, Plan, Wait
from penstock.results.base import PlannedStore
from penstock.url import Url

__all__ = ["RedisStore"]

_LONGEST_WAIT = 30.0  # seconds: look again after so long, should anything be lost
_AWAY = 1.0  # seconds until the next look while the server is away
_MEMBERS_KEPT = 7 * 86_400


class RedisStore(PlannedStore):
    """Results of tasks in one database of a server."""

    engine: RedisServer

    def __init__(self, *, engine: RedisServer, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._clock = clock

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> RedisStore:
        """The store at ``redis://host/database``."""
        return cls(engine=RedisServer.at(url), clock=clock)

    def part(self) -> None:
        self.engine.part()

    def close(self) -> None:
        self.engine.close()

    @property
    def _now(self) -> str:
        """What scripts are told of the time: nothing, so that they ask the server."""
        return "" if self._clock is SYSTEM_CLOCK else repr(self._clock.wall())

    def _put(self, records: Sequence[Record]) -> Plan[list[Record]]:
        refused: list[Record] = []
        for part in _parts(records):
            words = [word for record in part for word in as_words(record, self._clock.wall())]

            def put(batch: Batch, words: list[str | bytes | int] = words) -> Pending:
                return batch.script(PUT, self.engine.prefix, self._now, *words)

            stale = yield Exchange("put", put)
            refused += [part[place] for place in stale]
        return refused

    def _get(self, ids: Sequence[str]) -> Plan[list[Record | None]]:
        found: list[Record | None] = []
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]

            def get(batch: Batch, part: Sequence[str] = part) -> Pending:
                return get_records(batch, self.engine.prefix, part, self._clock.wall())

            found += yield Exchange("get", get, writes=False)
        return found

    def _wait(self, ids: Sequence[str], timeout: float | None) -> Plan[list[Record | None]]:
        found = yield from self._get(ids)
        if _complete(found) or (timeout is not None and timeout <= 0):
            return found
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        wanted = dict.fromkeys(ids)
        bells = tuple("channel:" + meta_key(self.engine.prefix, task_id) for task_id in wanted)
        listener = yield Listen(bells)
        try:
            while True:
                nap = _LONGEST_WAIT
                left = nap if deadline is None else deadline - self._clock.monotonic()
                try:
                    found = yield from self._renewed(ids, found)
                except (Unavailable, Uncertain):  # when it is back the bell rings
                    if left <= 0:
                        raise
                    nap = _AWAY
                if _complete(found) or left <= 0:
                    return found
                nap = min(left, nap)
                if not (yield Wait(listener, nap)) and deadline is not None and nap == left:
                    return (yield from self._renewed(ids, found))
        finally:
            listener.close()

    def _renewed(self, ids: Sequence[str], found: list[Record | None]) -> Plan[list[Record | None]]:
        """Look again for those without an end."""
        open_ids = [
            task_id for task_id, record in zip(ids, found, strict=True) if not _ended(record)
        ]
        news = iter((yield from self._get(open_ids)))
        return [record if _ended(record) else next(news) for record in found]

    def _forget(self, ids: Sequence[str]) -> Plan[None]:
        prefix = self.engine.prefix
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            keys = [meta_key(prefix, task_id) for task_id in part]
            keys += [f"{prefix}penstock.result-{task_id}" for task_id in part]

            def forget(batch: Batch, keys: list[str] = keys) -> Pending:
                return batch.call("DEL", *keys)

            yield Exchange("forget", forget)

    def _arrive(self, group: str, member: str, size: int) -> Plan[bool]:
        claim = new_id()
        key = f"{self.engine.prefix}penstock.group-{group}"

        def arrive(batch: Batch) -> list[Pending]:
            return [
                batch.call("HSETNX", key, "member:" + member, claim),
                batch.call("EXPIRE", key, _MEMBERS_KEPT),
                batch.call("HLEN", key),
            ]

        _, _, count = yield Exchange("arrive", arrive)
        if count < size:
            return False

        def last(batch: Batch) -> tuple[Pending, Pending]:
            return batch.call("HSETNX", key, "", claim), batch.call("HGET", key, "")

        _, winner = yield Exchange("last", last)
        return bool(winner.decode() == claim)

    def __repr__(self) -> str:
        return f"RedisStore({str(self.engine.url)!r})"


def _parts(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    return (records[start : start + CHUNK] for start in range(0, len(records), CHUNK))


def _ended(record: Record | None) -> bool:
    return record is not None and record.final


def _complete(found: Sequence[Record | None]) -> bool:
    return all(map(_ended, found))
