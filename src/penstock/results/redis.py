"""The result store on a Redis server, in Celery's keys and JSON.

A waiter subscribes to the channel on which a result is told and reads the key, in one write; then
it waits for the message, which is the result. One connection of the process hears for all waiters;
when it had to connect anew, it reads again for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.redis import RedisServer
from penstock.engines.redis_batch import Batch, Pending
from penstock.engines.redis_ends import Ends, EndsListener
from penstock.engines.redis_records import CHUNK, PUT, as_words, get_records, meta_key
from penstock.message import Record, new_id
from penstock.plan import Exchange, Plan
from penstock.results.told import ToldStore
from penstock.url import Url

__all__ = ["RedisStore"]

_MEMBERS_KEPT = 7 * 86_400


class RedisStore(ToldStore):
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

    def _hears(self) -> bool:
        return self.engine.hears

    def _bells(self, ids: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(ids))

    def _listening(self, ids: Sequence[str]) -> Ends:
        return Ends(self._bells(ids), now=self._clock.wall)

    def _news(
        self, listener: EndsListener, ids: Sequence[str], found: list[Record | None]
    ) -> Plan[list[Record | None]]:
        yield from ()  # what was read and what was told came to the listener: no exchange
        ended = listener.ended
        return [ended.get(task_id, record) for task_id, record in zip(ids, found, strict=True)]

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
