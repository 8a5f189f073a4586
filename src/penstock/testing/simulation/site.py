"""What is simulated: a broker, by default with a result store on the same engine.

A third party overrides :meth:`Site.broker` and hands its class to :func:`simulate`.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.brokers.base import PlannedBroker
from penstock.clock import ManualClock
from penstock.results.base import PlannedStore

if TYPE_CHECKING:
    from penstock.brokers.sqlite import SqliteBroker
    from penstock.results.sqlite import SqliteStore

__all__ = ["MemorySite", "RedisSite", "Site", "SqliteSite"]


class Site:
    """One fresh broker for one seed; every actor is a client of its own."""

    survives_reboot = False
    """True when messages outlive the machine's restart, and leases do not."""

    survives_clock_jumps = True
    """False when leases run by the wall clock of a server, which somebody has to keep right."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def broker(self) -> PlannedBroker:
        """A new client of the one broker, on the clock of this site."""
        raise NotImplementedError("a site overrides broker()")

    def store(self) -> PlannedStore | None:
        """A client of the store into which that broker settles atomically, if it has one."""
        return None

    def reboot(self) -> None:
        """Close what a restart of the machine would close; the clock is restarted afterwards."""

    def close(self) -> None:
        """Give everything up."""


class MemorySite(Site):
    """The broker and the store in memory."""

    def __init__(self, clock: ManualClock) -> None:
        from penstock.engines.memory import MemoryEngine

        super().__init__(clock)
        self.engine = MemoryEngine()

    def broker(self) -> PlannedBroker:
        from penstock.brokers.memory import MemoryBroker

        return MemoryBroker(engine=self.engine, clock=self.clock)

    def store(self) -> PlannedStore:
        from penstock.results.memory import MemoryStore

        return MemoryStore(engine=self.engine, clock=self.clock)


class SqliteSite(Site):
    """The broker and the store in one real file, in a folder of its own."""

    survives_reboot = True

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self._folder = Path(tempfile.mkdtemp(prefix="penstock-simulation-"))
        # Power is never cut here, so no fsync is needed: `process` outlives what is simulated.
        self._url = f"sqlite:///{self._folder}/queue.db?durability=process"
        self._opened: list[SqliteBroker | SqliteStore] = []

    def broker(self) -> PlannedBroker:
        from penstock.brokers.sqlite import SqliteBroker
        from penstock.url import Url

        broker = SqliteBroker.from_url(Url.parse(self._url), clock=self.clock)
        self._opened.append(broker)
        return broker

    def store(self) -> PlannedStore:
        from penstock.results.sqlite import SqliteStore
        from penstock.url import Url

        store = SqliteStore.from_url(Url.parse(self._url), clock=self.clock)
        self._opened.append(store)
        return store

    def reboot(self) -> None:
        while self._opened:  # closing a broker would hand its leases back; a crash does not
            self._opened.pop().engine.close()

    def close(self) -> None:
        self.reboot()
        shutil.rmtree(self._folder)


class RedisSite(Site):
    """The scripts as they are, on a real server that is told the simulation's time.

    ``RedisSite.on(url)`` makes the class for one server; each seed has a prefix of its own.
    """

    survives_clock_jumps = False
    url = ""

    @classmethod
    def on(cls, url: str) -> type[RedisSite]:
        """The site on that server."""
        return type("RedisSite", (cls,), {"url": url})

    def __init__(self, clock: ManualClock) -> None:
        from penstock.testing.simulation.redis_engine import SimulatedServer

        super().__init__(clock)
        self._engine = SimulatedServer(self.url)

    def broker(self) -> PlannedBroker:
        from penstock.brokers.redis import RedisBroker

        return RedisBroker(engine=self._engine, clock=self.clock)

    def store(self) -> PlannedStore:
        from penstock.results.redis import RedisStore

        return RedisStore(engine=self._engine, clock=self.clock)

    def close(self) -> None:
        self._engine.clean()
        self._engine.close()
