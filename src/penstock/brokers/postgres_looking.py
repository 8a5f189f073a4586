"""Looking into a PostgreSQL schema: queues, what waits in them, dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from penstock.brokers import rows
from penstock.brokers.base import PlannedBroker, QueueState
from penstock.brokers.postgres_statements import SQL
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.postgres import PostgresServer
from penstock.engines.postgres_batch import Batch
from penstock.engines.postgres_values import texts
from penstock.message import DeadLetter, Message, new_id
from penstock.plan import Exchange

__all__ = ["PostgresLooking"]

_CHUNK = 5_000  # messages of one state that one transaction purges


class PostgresLooking(PlannedBroker):
    """The half of the broker that people and dashboards use. What is due is readied first."""

    engine: PostgresServer
    _clock: Clock
    grace: ClassVar[float] = 2.0  # seconds from the server's start in which no lease ends

    @property
    def _now(self) -> float | None:
        """What the server is told of the time: nothing, so that it goes by its own."""
        return None if self._clock is SYSTEM_CLOCK else self._clock.wall()

    @property
    def _ending(self) -> dict[str, float | None]:
        """By what the server judges whether a lease has ended."""
        return {"now": self._now, "grace": self.grace}

    def _do(
        self,
        name: str,
        run: Callable[[Batch], Any],
        *,
        durable: bool = True,
        rings: tuple[str, ...] = (),
    ) -> Any:
        return self.engine.execute(Exchange(name, run, durable=durable, rings=rings))

    def _look(self, name: str, run: Callable[[Batch], Any]) -> Any:
        return self.engine.execute(Exchange(name, run, writes=False))

    def _refresh(self) -> None:
        due = self._look("due", lambda b: b.value(SQL.due, **self._ending))
        if due is not None and due <= 0:
            self._do("tend", lambda b: b.call(SQL.advance, **self._ending), durable=False)

    def _count(self, name: str, sql: str, **values: Any) -> int:
        """Run a statement that takes things out; gives how many it took."""
        counted = 0

        def note(count: int) -> int:
            nonlocal counted
            counted = max(counted, count)  # a repeat finds nothing left: what counts is the first
            return counted

        took: int = self._do(name, lambda b: b.value(sql, **values).then(note))
        return took

    def queues(self) -> list[QueueState]:
        self._refresh()
        found: dict[str, list[int]] = {}
        for queue, state, count in self._look("queues", lambda b: b.call(SQL.counts)):
            found.setdefault(queue, [0, 0, 0, 0])[state] = count
        ready = [queue for queue, counts in found.items() if counts[0]]
        oldest = self._look("oldest", lambda b: b.call(SQL.oldest, queues=texts(ready)))
        now = self._clock.wall()
        ages = {queue: max(0.0, now - since) for queue, since in oldest if since is not None}
        return [_state(name, found[name], ages.get(name)) for name in sorted(found)]

    def depth(self, queue: str) -> int:
        count: int = self._look("depth", lambda b: b.value(SQL.depth, queue=queue))
        return count

    def peek(self, queue: str, limit: int = 10) -> list[Message]:
        self._refresh()
        what: dict[str, Any] = {"queue": queue, "most": limit}
        ready, delayed = self._look(
            "peek", lambda b: [b.call(SQL.peek_ready, **what), b.call(SQL.peek_delayed, **what)]
        )
        return [rows.message(row) for row in [*ready, *delayed][:limit]]

    def purge(self, queue: str) -> int:
        what = {"queue": queue, "most": _CHUNK, "now": self._now}
        total = 0
        while True:
            count = self._count("purge", SQL.purge, **what)
            total += count
            if count < _CHUNK:
                return total

    def remove(self, ids: Sequence[str]) -> int:
        return self._count("remove", SQL.remove, ids=texts(ids), now=self._now)

    def dead(self, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        found = self._look("dead", lambda b: b.call(SQL.dead, queue=queue, most=limit))
        return [rows.dead_letter(row) for row in found]

    def replay(self, keys: Sequence[str]) -> list[Message]:
        old = list(dict.fromkeys(keys))
        fresh = texts([new_id() for _ in old])

        def replay(batch: Batch) -> Any:
            batch.call(SQL.replay, fresh=fresh, old=texts(old), now=self._now)
            return batch.call(SQL.replayed, fresh=fresh)

        found = self._do("replay", replay)
        messages = [rows.message(row) for row in found]
        if messages:
            self._ring(messages)
        return messages

    def _ring(self, messages: Sequence[Message]) -> None:
        """Wake who may take these."""
        bells = tuple(dict.fromkeys(f"work:{message.queue}" for message in messages))
        self._do("ring", lambda _: None, durable=False, rings=bells)

    def drop(self, keys: Sequence[str]) -> int:
        return self._count("drop", SQL.drop_dead, old=texts(dict.fromkeys(keys)))


def _state(name: str, counts: list[int], oldest: float | None) -> QueueState:
    ready, delayed, leased, dead = counts
    return QueueState(
        name=name, ready=ready, delayed=delayed, leased=leased, dead=dead, oldest=oldest
    )
