"""The memory of this process as an engine: one state per name, one lock, and bells.

A broker and a result store of the same name share one engine, so that settling a message and
storing its result are one step. What it holds is this process's: a forked child starts with an
empty one, for a message that two processes hold would run twice.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

from penstock.engines.memory_bells import Bells, ahear
from penstock.engines.memory_holdings import Holdings
from penstock.engines.memory_records import Records
from penstock.message import Settlement
from penstock.plan import Command, Exchange, Listen, Wait

__all__ = ["CONTROL_BELL", "MemoryEngine", "MemoryState", "named_engine"]

CONTROL_BELL = "control"
_NEWS_KEPT = 1_000


class MemoryState:
    """What exchanges work on, under the engine's lock."""

    def __init__(self) -> None:
        self.rung: set[str] = set()  # bells to ring once the exchange has happened
        self.messages = Holdings(self.rung.add)
        self.records = Records(self.rung.add)
        self.news: deque[tuple[int, str, bytes]] = deque(maxlen=_NEWS_KEPT)
        self.workers: dict[str, Any] = {}

    def settle(self, settlements: Sequence[Settlement], wall: float, boot: float) -> list[int]:
        """End leases and store the records that come along; gives the places of those lost."""
        lost = []
        for place, settlement in enumerate(settlements):
            ending = self.messages.settle(settlement, wall, boot)
            if ending == "lost":
                lost.append(place)
            elif ending == "settled" and settlement.record is not None:
                self.records.put([settlement.record], boot)
        return lost

    def announce(self, token: str, payload: bytes) -> None:
        """Keep an announcement for those who ask; a token seen before was told already."""
        if all(token != known for _, known, _ in self.news):
            self.news.append((self.last_news() + 1, token, payload))
            self.rung.add(CONTROL_BELL)

    def sweep(self, boot: float) -> None:
        """Drop what nobody needs any more."""
        self.messages.sweep(boot)
        self.records.sweep(boot)

    def last_news(self) -> int:
        """The number of the latest announcement."""
        return self.news[-1][0] if self.news else 0

    def __repr__(self) -> str:
        return f"MemoryState({self.messages!r}, {self.records!r})"


class MemoryEngine:
    """Runs exchanges on a state of its own, one at a time. For any number of threads and loops."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self._lock = threading.Lock()
        self._bells = Bells()
        _engines.add(self)

    def execute(self, command: Command) -> Any:
        """Carry it out, blocking."""
        if isinstance(command, Exchange):
            return self._run(command)
        if isinstance(command, Listen):
            return self._bells.listen(command.bells)
        return command.listener.wait(command.timeout)

    async def aexecute(self, command: Command) -> Any:
        """Carry it out; exchanges run at once, for they take microseconds."""
        if isinstance(command, Wait):
            return await ahear(command.listener, command.timeout)
        return self.execute(command)

    def _run(self, exchange: Exchange) -> Any:
        with self._lock:
            reply = exchange.run(self.state)
            rung = (*exchange.rings, *self.state.rung)
            self.state.rung.clear()
        self._bells.ring(rung)
        return reply

    def start_empty(self) -> None:
        """Forget everything, and whoever held the lock: for a forked child."""
        self.state = MemoryState()
        self._lock = threading.Lock()
        self._bells.forsake()

    def __repr__(self) -> str:
        return f"MemoryEngine({self.state!r})"


_engines: weakref.WeakSet[MemoryEngine] = weakref.WeakSet()
_named: dict[str, MemoryEngine] = {}
_naming = threading.Lock()


def named_engine(name: str) -> MemoryEngine:
    """The engine of that name in this process, made when first asked for, kept to its end."""
    with _naming:
        if name not in _named:
            _named[name] = MemoryEngine()
        return _named[name]


def _after_fork() -> None:
    global _naming  # noqa: PLW0603 - another thread of the parent may have held it
    _naming = threading.Lock()
    for engine in list(_engines):
        engine.start_empty()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
