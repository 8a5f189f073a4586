"""The result store in the memory of one process."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.memory import MemoryEngine, named_engine
from penstock.engines.memory_records import DONE_BELL
from penstock.message import Record, new_id
from penstock.plan import Engine, Exchange, Listen, Plan, Wait
from penstock.results.base import PlannedStore
from penstock.url import Url

__all__ = ["MemoryStore"]

_Found = list[Record | None]


class MemoryStore(PlannedStore):
    """Records within this process. Stores of one engine, or ``memory://name``, are one store.

    A forked child starts with an empty one of its own.
    """

    def __init__(self, *, engine: Engine | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine or MemoryEngine()
        self._clock = clock

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> MemoryStore:
        """The store of ``memory://name``; a broker of that name puts records into it atomically."""
        return cls(engine=named_engine(f"{url.host or ''}{url.path}"), clock=clock)

    def close(self) -> None:
        """Nothing to give up: what it holds belongs to its engine."""

    def _put(self, records: Sequence[Record]) -> Plan[list[Record]]:
        refused = yield Exchange(
            "put", lambda state: state.records.put(records, self._clock.boot())
        )
        return refused  # type: ignore[no-any-return]

    def _get(self, ids: Sequence[str]) -> Plan[_Found]:
        found = yield self._reading(ids)
        return found  # type: ignore[no-any-return]

    def _reading(self, ids: Sequence[str]) -> Exchange:
        return Exchange(
            "get", lambda state: state.records.get(ids, self._clock.boot()), writes=False
        )

    def _wait(self, ids: Sequence[str], timeout: float | None) -> Plan[_Found]:
        found = yield self._reading(ids)
        if not _final(found) and (timeout is None or timeout > 0):
            found = yield from self._wait_for(self._reading(ids), timeout)
        return found  # type: ignore[no-any-return]

    def _wait_for(self, reading: Exchange, timeout: float | None) -> Plan[_Found]:
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        listener = yield Listen((DONE_BELL,))
        try:
            rung = True
            while True:
                found = yield reading
                remaining = None if deadline is None else deadline - self._clock.monotonic()
                if not rung or _final(found) or (remaining is not None and remaining <= 0):
                    return found  # type: ignore[no-any-return]
                rung = yield Wait(listener, remaining)
        finally:
            listener.close()

    def _forget(self, ids: Sequence[str]) -> Plan[None]:
        yield Exchange("forget", lambda state: state.records.forget(ids, self._clock.boot()))

    def _arrive(self, group: str, member: str, size: int) -> Plan[bool]:
        token = new_id()  # the one that came last may ask again and is told the same
        last = yield Exchange(
            "arrive",
            lambda state: state.records.arrive(group, member, size, token, self._clock.boot()),
        )
        return last  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"MemoryStore({self.engine!r})"


def _final(found: _Found) -> bool:
    return all(record is not None and record.final for record in found)
