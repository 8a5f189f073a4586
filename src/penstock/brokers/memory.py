"""The broker in the memory of one process: for tests, for threads, for trying things out."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from penstock.brokers.base import Capabilities, PlannedBroker, QueueState, WorkerEntry
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.memory import CONTROL_BELL, MemoryEngine, MemoryState, named_engine
from penstock.engines.memory_holdings import work_bell
from penstock.errors import NameTaken
from penstock.message import DeadLetter, Lease, Message, Settlement, new_id
from penstock.plan import Engine, Exchange, Listen, Listener, Plan, Wait
from penstock.url import Url

__all__ = ["MemoryBroker"]

R = TypeVar("R")
_Claim = tuple[list[Lease], float | None]


class MemoryBroker(PlannedBroker):
    """Custody within this process: a message outlives its worker's thread, not the process.

    Brokers of one engine, or of one ``memory://name``, are clients of one broker. A forked child
    starts with an empty one of its own.
    """

    capabilities = Capabilities(durable="nothing outlives this process", shared=False)

    def __init__(self, *, engine: Engine | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine or MemoryEngine()
        self._clock = clock
        self._heard = self._ask("news", lambda state: state.last_news())

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> MemoryBroker:
        """The broker of ``memory://name``; all of one name in one process are one."""
        return cls(engine=named_engine(f"{url.host or ''}{url.path}"), clock=clock)

    def close(self) -> None:
        self._ask("leave", self._leave)

    def keeps_records_of(self, store: object) -> bool:
        return getattr(store, "engine", None) is self.engine

    def listen(self, queues: Sequence[str]) -> Listener:
        bells = (*map(work_bell, queues), CONTROL_BELL)
        listener: Listener = self.engine.execute(Listen(bells))
        return listener

    # --- moving messages -----------------------------------------------------------------

    def _publish(self, messages: Sequence[Message]) -> Exchange:
        return Exchange(
            "publish",
            lambda state: state.messages.publish(messages, self._clock.wall(), self._clock.boot()),
        )

    def _lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float
    ) -> Plan[list[Lease]]:
        claim = self._claim(queues, limit, ttl)
        leases, _ = yield claim
        if not leases and wait > 0 and limit > 0 and queues:
            leases = yield from self._wait_for(claim, tuple(map(work_bell, queues)), wait)
        return leases  # type: ignore[no-any-return]

    def _claim(self, queues: Sequence[str], limit: int, ttl: float) -> Exchange:
        token = new_id()  # a repeated claim gives the same leases

        def claim(state: MemoryState) -> _Claim:
            wall, boot = self._clock.wall(), self._clock.boot()
            state.messages.refresh(wall, boot)
            leases = state.messages.claim(queues, limit, ttl, boot, token)
            return leases, None if leases else state.messages.next_due(wall, boot)

        return Exchange("lease", claim, durable=False)

    def _wait_for(self, claim: Exchange, bells: tuple[str, ...], wait: float) -> Plan[list[Lease]]:
        deadline = self._clock.monotonic() + wait
        listener = yield Listen(bells)
        try:
            while True:
                leases, due = yield claim
                remaining = deadline - self._clock.monotonic()
                if leases or remaining <= 0:
                    return leases  # type: ignore[no-any-return]
                rung = yield Wait(listener, remaining if due is None else min(due, remaining))
                if not rung and (due is None or due >= remaining):
                    leases, _ = yield claim
                    return leases  # type: ignore[no-any-return]
        finally:
            listener.close()

    def _extend(self, leases: Sequence[Lease], ttl: float) -> Plan[list[Lease]]:
        held = yield Exchange(
            "extend",
            lambda state: state.messages.extend(leases, ttl, self._clock.boot()),
            durable=False,
        )
        return held  # type: ignore[no-any-return]

    def _settle(self, settlements: Sequence[Settlement]) -> Plan[list[Settlement]]:
        lost = yield Exchange(
            "settle",
            lambda state: state.settle(settlements, self._clock.wall(), self._clock.boot()),
        )
        return [settlements[place] for place in lost]

    def _tend(self) -> Plan[float | None]:
        due = yield Exchange("tend", self._upkeep)
        return due  # type: ignore[no-any-return]

    def _upkeep(self, state: MemoryState) -> float | None:
        wall, boot = self._clock.wall(), self._clock.boot()
        state.messages.refresh(wall, boot)
        state.sweep(boot)
        return state.messages.next_due(wall, boot)

    # --- looking at things ---------------------------------------------------------------

    def _ask(self, name: str, run: Callable[[MemoryState], R]) -> R:
        reply: R = self.engine.execute(Exchange(name, run))
        return reply

    def _look(self, name: str, run: Callable[[MemoryState], R]) -> R:
        """The same, after bringing what is due where it belongs."""

        def look(state: MemoryState) -> R:
            state.messages.refresh(self._clock.wall(), self._clock.boot())
            return run(state)

        return self._ask(name, look)

    def queues(self) -> list[QueueState]:
        found = self._look("queues", lambda state: state.messages.counts(self._clock.boot()))
        now = self._clock.wall()
        return [
            QueueState(
                name=name,
                ready=counts.ready,
                delayed=counts.delayed,
                leased=counts.leased,
                dead=counts.dead,
                oldest=None if counts.oldest is None else max(0.0, now - counts.oldest),
            )
            for name, counts in sorted(found.items())
        ]

    def depth(self, queue: str) -> int:
        return self._look("depth", lambda state: state.messages.depth(queue))

    def peek(self, queue: str, limit: int = 10) -> list[Message]:
        return self._look("peek", lambda state: state.messages.peek(queue, limit))

    def purge(self, queue: str) -> int:
        return self._look(
            "purge", lambda state: state.messages.discard(lambda message: message.queue == queue)
        )

    def remove(self, ids: Sequence[str]) -> int:
        wanted = frozenset(ids)
        return self._look(
            "remove", lambda state: state.messages.discard(lambda message: message.id in wanted)
        )

    def dead(self, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        return self._ask(
            "dead", lambda state: state.messages.dead(queue, limit, self._clock.boot())
        )

    def replay(self, keys: Sequence[str]) -> list[Message]:
        fresh = {key: new_id() for key in keys}
        return self._ask(
            "replay",
            lambda state: state.messages.replay(fresh, self._clock.wall(), self._clock.boot()),
        )

    def drop(self, keys: Sequence[str]) -> int:
        return self._ask("drop", lambda state: state.messages.drop(keys, self._clock.boot()))

    # --- revoking, announcing, enrolling -------------------------------------------------

    def revoke(self, ids: Sequence[str], ttl: float) -> None:
        self._ask("revoke", lambda state: state.messages.revoke(ids, ttl, self._clock.boot()))

    def announce(self, payload: bytes) -> None:
        token = new_id()  # repeated, it is told once
        self._ask("announce", lambda state: state.announce(token, payload))

    def announced(self) -> list[bytes]:
        news = self._ask("announced", lambda state: list(state.news))
        payloads = [payload for number, _, payload in news if number > self._heard]
        self._heard = news[-1][0] if news else 0
        return payloads

    def enrol(self, name: str, info: Mapping[str, Any]) -> None:
        import socket

        entry = WorkerEntry(
            name=name,
            host=socket.gethostname(),
            pid=os.getpid(),
            since=self._clock.wall(),
            alive=True,
            info=dict(info),
        )
        if not self._ask("enrol", lambda state: self._enter(state, entry)):
            raise NameTaken(
                f"a live worker of this process is called {name} already; choose another name"
            )

    def _enter(self, state: MemoryState, entry: WorkerEntry) -> bool:
        holder = state.workers.get(entry.name)
        if holder is not None and holder[0]() not in (None, self):
            return False
        state.workers[entry.name] = (weakref.ref(self), entry)
        return True

    def _leave(self, state: MemoryState) -> None:
        mine = [name for name, (holder, _) in state.workers.items() if holder() in (None, self)]
        for name in mine:
            del state.workers[name]

    def workers(self) -> list[WorkerEntry]:
        entered = self._ask("workers", lambda state: list(state.workers.values()))
        return [entry for holder, entry in entered if holder() is not None]

    def __repr__(self) -> str:
        return f"MemoryBroker({self.engine!r})"
