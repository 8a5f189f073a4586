"""The result store on memcached servers, in Celery's keys and JSON.

A cache forgets: by its size at any time, and all when it is restarted. The second is noticed, and
who waits for a result from before is told with ResultLost; the first cannot be told from "not yet".
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.memcached import Cache, Instance, MemcachedServers
from penstock.engines.memcached_records import expiry, pack, refuses, unpack
from penstock.errors import EncodeError, ResultLost, Uncertain
from penstock.message import Record, born, new_id
from penstock.plan import Exchange, Plan
from penstock.results.polled import PolledStore, done_bell
from penstock.results.too_large import as_failure
from penstock.url import Url

__all__ = ["MemcachedStore"]

_LOG = logging.getLogger("penstock")
_CHUNK = 200  # ids in one request
_TRIES = 64  # of one write, while others write the same key
_LIVES_EVERY = 0.5  # seconds between two questions after a server's life
_SURELY = 1.1  # seconds: a server's uptime is told in whole ones
_MEMBERS_KEPT = 7 * 86_400


class MemcachedStore(PolledStore):
    """Results of tasks in a cache. Celery's processes may share it."""

    forgets: ClassVar[bool] = True

    engine: MemcachedServers

    def __init__(self, *, engine: MemcachedServers, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._clock = clock

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> MemcachedStore:
        """The store at ``cache+memcached://host:port``."""
        return cls(engine=MemcachedServers.at(url), clock=clock)

    def close(self) -> None:
        self.engine.close()

    def _key(self, task_id: str) -> str:
        return f"{self.engine.prefix}celery-task-meta-{task_id}"

    # --- writing -----------------------------------------------------------------------------

    def _put(self, records: Sequence[Record]) -> Plan[list[Record]]:
        stored = []
        for record in records:
            # A comprehension cannot yield.
            stored.append((yield from self._put_one(record)))  # noqa: PERF401
        return [record for record, well in zip(records, stored, strict=True) if not well]

    def _put_one(self, record: Record) -> Plan[bool]:
        try:
            return (yield from self._store(record))
        except EncodeError as error:
            limit = yield Exchange(
                "limit", lambda cache: cache.limit(self._key(record.id)), writes=False
            )
            why = (
                f"its result of {len(record.document)} bytes is over memcached's limit of {limit} "
                "for one item (its option -I): store it elsewhere and return a reference"
            )
            _LOG.error("Task %s: %s (%s)", record.id, why, error)
            if not record.final:  # a word on the way; the task goes on
                return False
            return (yield from self._store(as_failure(record, why)))

    def _store(self, record: Record) -> Plan[bool]:
        """Compare and set, until nobody came between."""
        key, rings = self._key(record.id), (done_bell(record.id),) if record.final else ()
        for _ in range(_TRIES):
            now = self._clock.wall()

            def put(cache: Cache, now: float = now) -> bool | None:
                value, mark = cache.gets([key]).get(key, (b"", None))
                current = None if mark is None else unpack(record.id, value, now)
                if refuses(current, record):
                    return False
                expire = expiry(record.ttl, now)
                return True if cache.put(key, pack(record, now), mark, expire) else None

            done = yield Exchange("put", put, rings=rings)
            if done is not None:
                return bool(done)
        raise Uncertain(f"the result of task {record.id} is written by too many at once")

    # --- reading -----------------------------------------------------------------------------

    def _get(self, ids: Sequence[str]) -> Plan[list[Record | None]]:
        found: list[Record | None] = []
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            keys = [self._key(task_id) for task_id in part]

            def get(cache: Cache, keys: list[str] = keys) -> dict[str, tuple[bytes, Any]]:
                return cache.gets(keys)

            values = yield Exchange("get", get, writes=False)
            now = self._clock.wall()
            found += [
                unpack(task_id, values[key][0], now) if key in values else None
                for task_id, key in zip(part, keys, strict=True)
            ]
        return found

    def _forget(self, ids: Sequence[str]) -> Plan[None]:
        keys = [self._key(task_id) for task_id in ids]
        yield Exchange("forget", lambda cache: cache.delete(keys))

    # --- waiting, and noticing what is lost ---------------------------------------------------

    def _wait(self, ids: Sequence[str], timeout: float | None) -> Plan[list[Record | None]]:
        first: dict[str, Instance] = {}  # the life of each id's server when the wait began
        asked = -math.inf

        def look(open_ids: Sequence[str]) -> Plan[list[Record | None]]:
            nonlocal asked
            found = yield from self._get(open_ids)
            missing = [
                task_id for task_id, record in zip(open_ids, found, strict=True) if record is None
            ]
            now = self._clock.monotonic()
            if missing and now - asked >= _LIVES_EVERY:
                asked = now
                yield from self._look_for_losses(missing, first)
            return found

        return (yield from self._waiting(ids, timeout, look))

    def _look_for_losses(self, missing: Sequence[str], first: dict[str, Instance]) -> Plan[None]:
        """Raises ResultLost for one whose server has begun a new life since it was sent."""
        keys = {self._key(task_id): task_id for task_id in missing}
        lives = yield Exchange("lives", lambda cache: cache.instances(keys), writes=False)
        lost = [
            (task_id, lives[key])
            for key, task_id in keys.items()
            if _is_new(lives[key], first.setdefault(key, lives[key]), task_id)
        ]
        if not lost:
            return
        # One that was stored since we looked, in the new life, is there.
        found = yield from self._get([task_id for task_id, _ in lost])
        for (task_id, life), record in zip(lost, found, strict=True):
            if record is None:
                raise ResultLost(
                    f"the result of task {task_id} may be lost: memcached at {life.server} was "
                    "restarted since the task was sent, and came back empty. If the task has not "
                    "ended yet, asking again may give it"
                )

    # --- groups ------------------------------------------------------------------------------

    def _arrive(self, group: str, member: str, size: int) -> Plan[bool]:
        claim, key = new_id(), f"{self.engine.prefix}penstock.group-{group}"
        for _ in range(_TRIES):

            def arrive(cache: Cache) -> bool | None:
                value, mark = cache.gets([key]).get(key, (b"", None))
                arrived = msgspec.json.decode(value, type=_Group) if mark is not None else _Group()
                arrived = arrived.plus(member, size, claim)
                value = msgspec.json.encode(arrived)
                if not cache.put(key, value, mark, _MEMBERS_KEPT):
                    return None
                return arrived.completed_by == claim

            last = yield Exchange("arrive", arrive)
            if last is not None:
                return bool(last)
        raise Uncertain(f"members of group {group} arrive too many at once")

    def __repr__(self) -> str:
        return f"MemcachedStore({str(self.engine.url)!r})"


def _is_new(life: Instance, first: Instance, task_id: str) -> bool:
    """True when the server was started after the wait began, or after the task was sent."""
    sent_at = born(task_id)
    return not life.is_same(first) or (sent_at is not None and life.since > sent_at + _SURELY)


class _Group(msgspec.Struct, frozen=True):
    """Who of a group has arrived, and the claim that saw the last one come."""

    members: list[str] = []
    completed_by: str = ""

    def plus(self, member: str, size: int, claim: str) -> _Group:
        members = sorted({*self.members, member})
        complete = not self.completed_by and len(members) >= size
        return _Group(members, claim if complete else self.completed_by)
