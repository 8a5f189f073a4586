"""Who works at a Redis server: its holders and their names, and the upkeep that they do for all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.brokers.base import WorkerEntry
from penstock.brokers.redis_holders import HEARTBEAT, Holder, Me
from penstock.brokers.redis_looking import RedisLooking, script
from penstock.brokers.redis_promise import ASKED, allowed
from penstock.brokers.redis_unacked import EVERY, KEPT, restored
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.processes import Fate
from penstock.engines.redis import RedisServer
from penstock.engines.redis_batch import Batch, Pending
from penstock.errors import BrokerError, ConfigError, NameTaken, Unavailable, Uncertain
from penstock.plan import Exchange, Plan, drive

__all__ = ["RedisCompany"]

_TEND, _ENROL, _ANNOUNCE, _LEAVE, _RESTORE = map(
    script, ("tend", "enrol", "announce", "leave", "restore")
)
_CHUNK = 500  # entries in one command
_NEWS_KEPT = 1_000


class RedisCompany(RedisLooking):
    """The part of the broker that workers of one server are for each other."""

    def __init__(self, *, engine: RedisServer, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._clock = clock
        self._me = Me(clock)
        self._heard = str(int(time.time() * 1e6))  # news are numbered by the microsecond
        self._unacked_at = 0.0  # when to look at what Celery's workers hold

    # --- being there -----------------------------------------------------------------------

    def _holder(self) -> Me:
        if not self._me.current:
            self._me = Me(self._clock)
        return self._me

    def enrol(self, name: str, info: Mapping[str, Any]) -> None:
        url = self.engine.url
        eviction = url.options.get("allow_eviction", "") not in {"", "0", "no", "false"}
        allowed(self._settings(), where=str(url), eviction=eviction)
        me = self._holder()
        me.name, me.info, me.since = name, dict(info), self._clock.wall()
        dead = ""
        while True:
            owner = self._do(_ENROL, name, me.id, me.said(), dead)
            if not owner:
                return
            holder = self._known_holder(owner.decode())
            if holder is not None and holder.fate(me.process, self._clock.wall()) is not Fate.DEAD:
                me.name = None
                process = holder.process
                raise NameTaken(
                    f"a live worker is called {name} already (process {process.pid} on "
                    f"{process.host}); stop it, or choose another name"
                )
            dead = owner.decode()
            self._do(_TEND, "", "", 1, dead)

    def _known_holder(self, holder: str) -> Holder | None:
        return next((x for x in self._holders() if x.id == holder), None)

    def _holders(self) -> list[Holder]:
        return self._read_holders(self._call("HGETALL", self._own("holders")))

    def workers(self) -> list[WorkerEntry]:
        me, now = self._holder(), self._clock.wall()
        return [x.entry(me.process, now) for x in self._holders() if x.name is not None]

    def neighbours(self) -> list[int]:
        mine, now = self._holder().process, self._clock.wall()
        there = [x for x in self._holders() if x.process.host == mine.host]
        alive = [x for x in there if x.fate(mine, now) is Fate.ALIVE]
        return sorted({x.process.pid for x in alive} - {mine.pid})

    def _withdraw(self, me: Me) -> None:
        self._do(_TEND, "", "", 0, me.id)
        while me.name is not None and self._do(_LEAVE, me.id):
            pass

    def _settings(self) -> dict[str, str] | None:
        """What the server's configuration says of what it keeps; None where it does not tell."""
        settings: dict[str, str] = {}
        try:
            for name in ASKED:
                found = self._call("CONFIG", "GET", name)
                if found:
                    settings[name] = found[1].decode()
        except (ConfigError, BrokerError) as error:
            if isinstance(error, Unavailable | Uncertain):
                raise
            return None
        return settings

    # --- upkeep --------------------------------------------------------------------------

    def tend(self) -> float | None:
        return drive(self._tend(), self.engine)

    def _tend(self) -> Plan[float | None]:
        me = self._holder()
        found = yield Exchange(
            "holders", lambda batch: batch.call("HGETALL", self._own("holders")), writes=False
        )
        now = self._clock.wall()
        others = self._read_holders(found)
        gone = [x.id for x in others if x.id != me.id and x.fate(me.process, now) is Fate.DEAD]

        def tend(batch: Batch) -> Pending:
            said = me.said() if me.name and me.is_silent else ""
            return self._script(batch, _TEND, me.id, said, 1, *gone)

        due = yield Exchange("tend", tend)
        if me.name and self._clock.monotonic() >= self._unacked_at:
            self._unacked_at = self._clock.monotonic() + EVERY
            yield from self._restore()
        wait = float(due) if due else None
        return wait if not me.name else min(HEARTBEAT, HEARTBEAT if wait is None else wait)

    def _restore(self) -> Plan[None]:
        """Give back what Celery's workers have held for too long."""
        kept = float(self.engine.url.options.get("visibility_timeout", KEPT))
        late = self._clock.wall() - kept
        tags = yield Exchange(
            "unacked",
            lambda batch: batch.call(
                "ZRANGEBYSCORE", self._key("unacked_index"), "-inf", late, "LIMIT", 0, _CHUNK
            ),
            writes=False,
        )
        if not tags:
            return
        held = yield Exchange(
            "unacked", lambda batch: batch.call("HMGET", self._key("unacked"), *tags), writes=False
        )
        known: dict[str, list[bytes]] = {}
        words: list[Any] = []
        for tag, said in zip(tags, held, strict=True):
            back = None if said is None else restored(said)
            if back is None:
                continue
            if back.exchange not in known:
                known[back.exchange] = yield self._bindings(back.exchange)
            lists = back.lists(known[back.exchange])
            if lists:
                words += (tag, back.envelope, len(lists), *lists)
        yield self._running("restore", _RESTORE, words)

    def _bindings(self, exchange: str) -> Exchange:
        key = self._key(f"_kombu.binding.{exchange}")
        return Exchange("bindings", lambda batch: batch.call("SMEMBERS", key), writes=False)

    # --- telling the others -------------------------------------------------------------

    def revoke(self, ids: Sequence[str], ttl: float) -> None:
        until = repr(self._clock.wall() + ttl)
        for start in range(0, len(ids), _CHUNK):
            words = [word for task_id in ids[start : start + _CHUNK] for word in (until, task_id)]
            self._call("ZADD", self._own("revoked"), *words)

    def announce(self, payload: bytes) -> None:
        self._do(_ANNOUNCE, payload, _NEWS_KEPT)

    def announced(self) -> list[bytes]:
        if not self.engine.was_changed(self._own("news")):
            return []
        news = self._call("ZRANGEBYSCORE", self._own("news"), f"({self._heard}", "+inf")
        self.engine.looked()
        told = [entry.partition(b" ") for entry in news]
        if told:
            self._heard = told[-1][0].decode()
        return [payload for _, _, payload in told]
