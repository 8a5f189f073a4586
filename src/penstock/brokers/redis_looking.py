"""Looking into a Redis server: queues, what waits in them, dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from penstock.brokers import redis_raw as raws
from penstock.brokers.base import PlannedBroker, QueueState
from penstock.brokers.redis_holders import Holder
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.redis import RedisServer
from penstock.engines.redis_batch import Batch, Pending, Script
from penstock.message import Dead, DeadLetter, Message, born, new_id
from penstock.plan import Exchange

__all__ = ["RedisLooking", "script"]

_PAGE = 1_000  # entries that one command gives


def script(name: str, *, record: bool = False) -> Script:
    """The broker's script of that name; with ``record`` it can store results."""
    parts = ["engines/lua/record.lua"] if record else []
    return Script.of("brokers/lua/common.lua", *parts, f"brokers/lua/{name}.lua")


_PURGE, _REPLAY, _TEND = map(script, ("purge", "replay", "tend"))


class _Head(msgspec.Struct, frozen=True):
    """What is kept of a dead letter before its envelope."""

    queue: str
    reason: str
    attempts: int
    dead_at: float
    step: int


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_holder = msgspec.json.Decoder(Holder).decode


class RedisLooking(PlannedBroker):
    """The half of the broker that people and dashboards use. What is due is readied first."""

    engine: RedisServer
    _clock: Clock

    # --- keys and calls ------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return self.engine.prefix + name

    def _own(self, name: str) -> str:
        return f"{self.engine.prefix}penstock.{name}"

    @property
    def _now(self) -> str:
        """What scripts are told of the time: nothing, so that they ask the server."""
        return "" if self._clock is SYSTEM_CLOCK else repr(self._clock.wall())

    def _script(self, batch: Batch, which: Script, *words: Any) -> Pending:
        return batch.script(which, self.engine.prefix, self._now, *words)

    def _running(self, name: str, which: Script, words: Sequence[Any]) -> Exchange:
        return Exchange(name, lambda batch: self._script(batch, which, *words))

    def _do(self, which: Script, *words: Any) -> Any:
        return self.engine.execute(self._running("script", which, words))

    def _call(self, *words: Any) -> Any:
        return self.engine.execute(Exchange(str(words[0]), lambda batch: batch.call(*words)))

    def _pages(self, key: str, command: str = "HSCAN") -> Iterator[tuple[bytes, bytes]]:
        cursor = b"0"
        while True:
            cursor, found = self._call(command, key, cursor, "COUNT", _PAGE)
            yield from zip(found[::2], found[1::2], strict=True)
            if cursor == b"0":
                return

    def _read_holders(self, found: Sequence[bytes]) -> list[Holder]:
        return [_decode_holder(said) for said in found[1::2]]

    def _lists(self, queue: str) -> list[tuple[str, bool]]:
        """The lists of a queue in the order in which they are served; True for ours."""
        return [
            one
            for step in raws.STEPS
            for one in ((self._own(f"back.{queue}{step}"), True), (self._key(queue + step), False))
        ]

    # --- counting ------------------------------------------------------------------------

    def _names(self) -> list[str]:
        known = self._call("SMEMBERS", self._own("queues"))
        bindings = []
        cursor = b"0"
        while True:
            cursor, found = self._call("SCAN", cursor, "MATCH", "*_kombu.binding.*", "COUNT", _PAGE)
            bindings += found
            if cursor == b"0":
                break
        names = {name.decode("utf-8", "replace") for name in known}
        for key in bindings:
            if key.startswith(self._key("_kombu.binding.").encode()):
                members = self._call("SMEMBERS", key)
                names |= {member.rpartition(b"\x06\x16")[2].decode() for member in members}
        return sorted(name for name in names if not name.endswith(".pidbox"))

    def queues(self) -> list[QueueState]:
        self._do(_TEND, "", "", 1)
        leased = Counter(_queue_of(value) for _, value in self._pages(self._own("leased")))
        dead = Counter(_dead_head(value)[0].queue for _, value in self._pages(self._own("dead")))
        soon = Counter(queue for _, queue in self._soon())
        found = [self._state(name, leased, dead, soon) for name in self._names()]
        return [state for state in found if state != QueueState(state.name)]

    def _state(
        self, name: str, leased: Counter[str], dead: Counter[str], soon: Counter[str]
    ) -> QueueState:
        there, parked = self._depths(name)
        early = min(there, soon[name])
        return QueueState(
            name=name,
            ready=there - early,
            delayed=parked + early,
            leased=leased[name],
            dead=dead[name],
            oldest=self._oldest(name),
        )

    def _soon(self) -> list[tuple[str, str]]:
        """(publication, queue) of the early messages that still lie in Celery's lists."""
        found = self._call("ZRANGE", self._own("soon"), 0, -1)
        pairs = [name.decode("utf-8", "replace").partition(" ") for name in found]
        return [(key, queue) for key, _, queue in pairs]

    def _depths(self, queue: str) -> tuple[int, int]:
        def look(batch: Batch) -> list[Pending]:
            lengths = [batch.call("LLEN", name) for name, _ in self._lists(queue)]
            return [*lengths, batch.call("HGET", self._own("parkings"), queue)]

        *lengths, parked = self.engine.execute(Exchange("depth", look, writes=False))
        return sum(lengths), int(parked or 0)

    def _oldest(self, queue: str) -> float | None:
        """By the times in the names that penstock gives to publications."""
        times = []
        for name, ours in self._lists(queue):
            for raw in self._call("LRANGE", name, -1, -1):
                message = raws.read(_bare(raw) if ours else raw, queue)
                made = born(message.key)
                if made is not None and message.ready_at <= self._clock.wall():
                    times.append(made)
        return max(0.0, self._clock.wall() - min(times)) if times else None

    def depth(self, queue: str) -> int:
        return sum(self._depths(queue))

    # --- messages ------------------------------------------------------------------------

    def peek(self, queue: str, limit: int = 10) -> list[Message]:
        self._do(_TEND, "", "", 1)
        now = self._clock.wall()
        found: list[Message] = []
        early: list[Message] = []
        for name, ours in self._lists(queue):
            for raw in self._from_head(name):
                message = raws.read(_bare(raw) if ours else raw, queue)
                (early if message.ready_at > now else found).append(message)
                if len(found) >= limit:
                    return found
        parked = [raws.read(raw, queue) for _, raw in self._parked(queue)]
        return (found + sorted(early + parked, key=lambda m: m.ready_at))[:limit]

    def _from_head(self, name: str) -> Iterator[bytes]:
        end = -1
        while True:
            page = self._call("LRANGE", name, end - _PAGE + 1, end)
            yield from reversed(page)
            if len(page) < _PAGE:
                return
            end -= _PAGE

    def _parked(self, queue: str | None) -> Iterator[tuple[bytes, bytes]]:
        """(number, envelope) of the delayed ones."""
        for number, value in self._pages(self._own("parked")):
            if queue is None or _queue_of(value) == queue:
                yield number, _raw_of(value)

    def purge(self, queue: str) -> int:
        return int(self._do(_PURGE, queue))

    def remove(self, ids: Sequence[str]) -> int:
        wanted = frozenset(ids)
        return sum(self._remove_from(queue, wanted) for queue in self._names())

    def _remove_from(self, queue: str, wanted: frozenset[str]) -> int:
        count = 0
        for name, ours in self._lists(queue):
            doomed = [
                raw
                for raw in self._from_head(name)
                if raws.read(_bare(raw) if ours else raw, queue).id in wanted
            ]
            count += sum(self._call("LREM", name, 1, raw) for raw in doomed)
        for number, raw in list(self._parked(queue)):
            if raws.read(raw, queue).id in wanted and self._call(
                "HDEL", self._own("parked"), number
            ):
                self._call("ZREM", self._own("delayed"), number)
                self._call("HINCRBY", self._own("parkings"), queue, -1)
                count += 1
        return count

    # --- dead letters --------------------------------------------------------------------

    def _dead_head(self, settlement: Dead) -> bytes:
        lease = settlement.lease
        message = lease.message
        step = raws.step_of(message.priority)
        return msgspec.json.encode(
            _Head(message.queue, settlement.reason, lease.attempt, self._clock.wall(), step)
        )

    def dead(self, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        letters: list[DeadLetter] = []
        start = 0
        while len(letters) < limit:
            keys = self._call("ZREVRANGE", self._own("dead-at"), start, start + _PAGE - 1)
            if not keys:
                break
            start += _PAGE
            found = self._call("HMGET", self._own("dead"), *keys)
            letters += [
                _letter(key, value)
                for key, value in zip(keys, found, strict=True)
                if value is not None and queue in {None, _dead_head(value)[0].queue}
            ]
        return letters[:limit]

    def replay(self, keys: Sequence[str]) -> list[Message]:
        messages: list[Message] = []
        for start in range(0, len(keys), _PAGE):
            part = list(dict.fromkeys(keys))[start : start + _PAGE]
            found = self._call("HMGET", self._own("dead"), *part)
            again = [
                (key, *_again(value))
                for key, value in zip(part, found, strict=True)
                if value is not None
            ]
            words = [
                word
                for key, message, step, raw in again
                for word in (key, message.queue, step, raw)
            ]
            there = self._do(_REPLAY, *words) if again else []
            messages += [one[1] for one, is_there in zip(again, there, strict=True) if is_there]
        return messages

    def drop(self, keys: Sequence[str]) -> int:
        count = 0
        for key in dict.fromkeys(keys):
            count += self._call("HDEL", self._own("dead"), key)
            self._call("ZREM", self._own("dead-at"), key)
        return count


def _bare(value: bytes) -> bytes:
    """The envelope in an entry of our own lists: behind two numbers."""
    return value.split(b" ", 2)[2]


def _split(value: bytes) -> tuple[bytes, bytes]:
    """Queue and envelope of what is leased or parked; see brokers/lua/common.lua."""
    _, _, _, _, rest = value.split(b" ", 4)
    length, _, rest = rest.partition(b":")
    return rest[: int(length)], rest[int(length) + 1 :]


def _queue_of(value: bytes) -> str:
    return _split(value)[0].decode("utf-8", "replace")


def _raw_of(value: bytes) -> bytes:
    return _split(value)[1]


def _dead_head(value: bytes) -> tuple[_Head, bytes]:
    length, _, rest = value.partition(b":")
    return _decode_head(rest[: int(length)]), rest[int(length) :]


def _letter(key: bytes, value: bytes) -> DeadLetter:
    head, raw = _dead_head(value)
    message = msgspec.structs.replace(raws.read(raw, head.queue), key=key.decode())
    return DeadLetter(message, head.reason, head.attempts, head.dead_at)


def _again(value: bytes) -> tuple[Message, int, bytes]:
    """A dead letter as a new publication: the message, its list, its envelope."""
    head, raw = _dead_head(value)
    message = msgspec.structs.replace(raws.read(raw, head.queue), key=new_id())
    readable = raws.UNREADABLE not in message.headers
    return message, head.step, raws.write(message) if readable else raw
