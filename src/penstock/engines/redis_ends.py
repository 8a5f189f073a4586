"""Hearing how tasks ended: a result is told on a channel, and who waits for it needs no look.

The channel is subscribed to, and the key read, in one write on the connection that hears. So what
was stored before comes as the reply, what is stored from then on as a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from penstock.engines.floor import read_a_while
from penstock.engines.redis_batch import Batch, Pending
from penstock.engines.redis_listeners import Question, RedisListener
from penstock.engines.redis_records import CHUNK, as_told, get_records, meta_key
from penstock.message import Record
from penstock.plan import Listen

if TYPE_CHECKING:
    from penstock.engines.redis_ears import Ears

__all__ = ["Ends", "EndsListener"]


class Ends(Listen, frozen=True):
    """Open a listener for the ends of tasks. ``bells`` are their ids, ``now`` gives wall time."""

    now: Callable[[], float]


class EndsListener(RedisListener):
    """Hears the final records of some tasks; ``ended`` has those that came, by id."""

    may_linger = True  # a task is seldom told of again, and its channel costs little

    def __init__(self, ears: Ears, prefix: str, command: Ends) -> None:
        super().__init__(tuple(f"channel:{meta_key(prefix, each)}" for each in command.bells), ears)
        self.ended: dict[str, Record] = {}
        self._ids = dict(zip(self.names, command.bells, strict=True))
        self._prefix = prefix
        self._now = command.now

    def wait(self, timeout: float | None) -> bool:
        """As for any listener; for a while its thread reads the connection itself."""
        return super().wait(read_a_while(self._ears.borrow_floor, self._reader, timeout))

    def tell(self, channel: str, message: bytes) -> bool:
        record = as_told(self._ids[channel], message)
        if record.final:
            self.ended[record.id] = record
        else:  # by its document; an end of a kind that Celery does not know is told beside it
            self._ears.ask([self._question([record.id])])
        return record.final

    def questions(self) -> Iterator[Question]:
        open_ids = [each for each in self._ids.values() if each not in self.ended]
        for start in range(0, len(open_ids), CHUNK):
            yield self._question(open_ids[start : start + CHUNK])

    def _question(self, ids: Sequence[str]) -> Question:
        batch = Batch()
        records: Pending = get_records(batch, self._prefix, ids, self._now())

        def take(reply: Any) -> None:
            there = [x for x in records.resolve([reply]) if x is not None and x.final]
            self.ended.update((record.id, record) for record in there)
            if there:
                self._bells.ring(self.names[:1])

        return batch.commands[0], take
