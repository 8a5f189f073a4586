"""Looking into a SQLite file: queues, what waits in them, dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.brokers import rows
from penstock.brokers import sqlite_upkeep as upkeep
from penstock.brokers.base import PlannedBroker, QueueState
from penstock.brokers.sqlite_claim import SQL
from penstock.clock import Clock
from penstock.engines.sqlite import SqliteFile
from penstock.message import DeadLetter, Message, new_id
from penstock.plan import Exchange

if TYPE_CHECKING:
    import apsw

__all__ = ["WORK", "SqliteLooking"]

WORK = "work"  # the bell that says: a message may have come


class SqliteLooking(PlannedBroker):
    """The half of the broker that people and dashboards use. What is due is readied first."""

    engine: SqliteFile
    _clock: Clock

    def _do(
        self,
        name: str,
        run: Callable[[apsw.Connection], Any],
        *,
        durable: bool = True,
        rings: tuple[str, ...] = (),
    ) -> Any:
        return self.engine.execute(Exchange(name, run, durable=durable, rings=rings))

    def _count(self, name: str, sql: str, values: Sequence[tuple[Any, ...]]) -> int:
        """Run a statement that takes things out; gives how many it took."""
        counted = 0

        def run(connection: apsw.Connection) -> int:
            nonlocal counted
            before = connection.total_changes()
            connection.executemany(sql, values)
            # A repeat finds nothing left: what counts is what the first run took.
            counted = max(counted, connection.total_changes() - before)
            return counted

        count: int = self._do(name, run)
        return count

    def _look(self, name: str, run: Callable[[apsw.Connection], Any]) -> Any:
        return self.engine.execute(Exchange(name, run, writes=False))

    def _refresh(self) -> None:
        if self._look("due", lambda c: upkeep.next_due(c, self._clock)) == 0:
            self._do("tend", lambda c: upkeep.advance(c, self._clock), durable=False, rings=(WORK,))

    def queues(self) -> list[QueueState]:
        self._refresh()
        found: dict[str, list[int]] = {}
        counts, oldest = self._look("queues", self._counts)
        for queue, state, count in counts:
            found.setdefault(queue, [0, 0, 0, 0])[state] = count
        now = self._clock.wall()
        ages = {queue: max(0.0, now - since) for queue, since in oldest.items()}
        return [_state(name, found[name], ages.get(name)) for name in sorted(found)]

    def _counts(
        self, connection: apsw.Connection
    ) -> tuple[list[tuple[str, int, int]], dict[str, float]]:
        counts: list[Any] = list(connection.execute(SQL.counts))
        ready = [queue for queue, state, _ in counts if not state]
        return counts, {queue: connection.execute(SQL.oldest, (queue,)).get for queue in ready}

    def depth(self, queue: str) -> int:
        self._refresh()
        count: int = self._look("depth", lambda c: c.execute(SQL.depth, (queue,)).get)
        return count

    def peek(self, queue: str, limit: int = 10) -> list[Message]:
        self._refresh()
        found = self._look("peek", lambda c: list(c.execute(SQL.peek_ready, (queue, limit))))
        room = limit - len(found)
        if room > 0:
            found += self._look("peek", lambda c: list(c.execute(SQL.peek_delayed, (queue, room))))
        return [rows.message(row) for row in found]

    def purge(self, queue: str) -> int:
        return self._drain(SQL.purge, queue) + self._drain(SQL.purge_delayed, queue)

    def _drain(self, sql: str, queue: str) -> int:
        total = 0
        while True:
            values = (self._clock.boot(), queue, upkeep.CHUNK)
            count = self._count("purge", sql, [values])
            total += count
            if count < upkeep.CHUNK:
                return total

    def remove(self, ids: Sequence[str]) -> int:
        values = (self._clock.boot(), msgspec.json.encode(list(ids)).decode())
        return self._count("remove", SQL.remove, [values])

    def dead(self, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        found = self._look("dead", lambda c: list(c.execute(SQL.dead, (queue, limit))))
        return [rows.dead_letter(row) for row in found]

    def replay(self, keys: Sequence[str]) -> list[Message]:
        fresh = [(new_id(), key) for key in dict.fromkeys(keys)]

        def replay(connection: apsw.Connection) -> list[Message]:
            for new, old in fresh:
                connection.execute(SQL.replay, (new, self._clock.wall(), old))
                connection.execute(SQL.drop_dead, (old,))
            found = (list(connection.execute(SQL.replayed, (new,))) for new, _ in fresh)
            return [rows.message(row) for part in found for row in part]

        messages: list[Message] = self._do("replay", replay, rings=(WORK,))
        return messages

    def drop(self, keys: Sequence[str]) -> int:
        values = [(key,) for key in dict.fromkeys(keys)]
        return self._count("drop", SQL.drop_dead, values)


def _state(name: str, counts: list[int], oldest: float | None) -> QueueState:
    ready, delayed, leased, dead = counts
    return QueueState(
        name=name, ready=ready, delayed=delayed, leased=leased, dead=dead, oldest=oldest
    )
