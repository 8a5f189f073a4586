"""Waiting for results that the engine tells of: a bell rings, and who waits looks again."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from penstock.clock import Clock
from penstock.errors import Unavailable, Uncertain
from penstock.message import Record
from penstock.plan import Listen, Plan, Wait
from penstock.results.base import PlannedStore

__all__ = ["ToldStore", "are_ended", "is_ended", "open_ids", "renewed"]


_AWAY = 1.0  # seconds between two looks while the engine is away


class ToldStore(PlannedStore):
    """A store whose waiters are told. A subclass has ``_clock`` and writes the rest."""

    LONGEST_WAIT: ClassVar[float] = 30.0  # seconds: look again, should a ring ever be lost

    _clock: Clock

    @abstractmethod
    def _bells(self, ids: Sequence[str]) -> tuple[str, ...]:
        """What rings when one of these has ended."""

    def _hears(self) -> bool:
        """True when listening costs nothing: then the first look comes after it, and is one."""
        return False

    def _wait(self, ids: Sequence[str], timeout: float | None) -> Plan[list[Record | None]]:
        found: list[Record | None] = [None] * len(ids)
        at_once = timeout is not None and timeout <= 0
        if at_once or not self._hears():
            try:
                found = yield from self._get(ids)
            except Uncertain:  # the line broke amid it; a look changes nothing, and is repeated
                if at_once:
                    raise
            if at_once or are_ended(found):
                return found
        deadline = math.inf if timeout is None else self._clock.monotonic() + timeout
        listener = yield self._listening(ids)
        rung = True
        try:
            while True:
                left = deadline - self._clock.monotonic()
                nap = min(left, self.LONGEST_WAIT)
                try:
                    look = self._news(listener, ids, found) if rung else self._renewed(ids, found)
                    found = yield from look
                except (Unavailable, Uncertain):  # once it is back the bell rings
                    if left <= 0:
                        raise  # who waits is told why, and not that there is no result
                    nap = min(left, _AWAY)
                if are_ended(found) or left <= 0:
                    return found
                rung = yield Wait(listener, nap)
                if not rung and nap == left:
                    return (yield from self._renewed(ids, found))
        finally:
            listener.close()

    def _listening(self, ids: Sequence[str]) -> Listen:
        return Listen(self._bells(ids))

    def _news(
        self,
        listener: Any,
        ids: Sequence[str],
        found: list[Record | None],
    ) -> Plan[list[Record | None]]:
        """What is known once the listener has rung, or has just been opened."""
        return self._renewed(ids, found)

    def _renewed(self, ids: Sequence[str], found: list[Record | None]) -> Plan[list[Record | None]]:
        if len(ids) == 1:
            return (yield from self._get(ids))
        return renewed(found, (yield from self._get(open_ids(ids, found))))


def is_ended(record: Record | None) -> bool:
    """True when nothing more is to come of it."""
    return record is not None and record.final


def are_ended(found: Sequence[Record | None]) -> bool:
    """True when nobody needs to wait for any of them."""
    return all(map(is_ended, found))


def open_ids(ids: Sequence[str], found: Sequence[Record | None]) -> list[str]:
    """Those to look for again: of ten thousand that are waited for, only the rest."""
    return [task_id for task_id, record in zip(ids, found, strict=True) if not is_ended(record)]


def renewed(found: Sequence[Record | None], news: Sequence[Record | None]) -> list[Record | None]:
    """What was found, with news of those that were open."""
    rest = iter(news)
    return [record if is_ended(record) else next(rest) for record in found]
