"""What a broker is: six batch-first methods, and small optional protocols beside them.

A broker keeps messages in custody until they are settled. Every method exists blocking (``x``)
and awaiting (``ax``). Request/reply engines subclass :class:`PlannedBroker` and write each method
once, as a plan; push engines subclass :class:`Broker`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from penstock import telemetry
from penstock.brokers.talk import Announcing, Talk
from penstock.errors import ConfigError
from penstock.message import DeadLetter, Lease, Message, Settlement
from penstock.plan import Engine, Exchange, Listener, Plan, adrive, drive, together

__all__ = [
    "Broker",
    "Capabilities",
    "PlannedBroker",
    "QueueShapes",
    "QueueState",
    "WorkerEntry",
]


class Capabilities(msgspec.Struct, frozen=True):
    """What a broker can do; what it cannot is refused at start, never degraded in silence."""

    durable: str = "none"  # what outlives what, in words: for the worker's banner
    shared: bool = True  # other processes see the same messages
    delays: bool = True  # keeps messages until their time itself
    priorities: bool = True
    highest_first: bool = True  # 9 before 0 (Redis: 0 first, as Celery has it)
    repeatable: bool = True  # publishing again with the same key stores nothing new
    fenced: bool = True  # a stale holder's writes are refused
    exact_depth: bool = True
    inspects: bool = True  # queues depth peek purge remove, dead letters
    revokes: bool = True  # every claim consults the revoked ids
    broadcasts: bool = True  # announce listen
    enrols: bool = True  # a worker's name is its own
    lists_workers: bool = True  # knows its workers by name
    peeks: bool = True  # shows and removes what waits, without disturbing it
    transferable: bool = True  # a lease may be extended and settled by another client
    settles_surely: bool = True  # what was settled never comes again; else ask the result store
    hears_before_listening: bool = True  # announcements reach who was made, and not yet asked
    sees_delayed: bool = True  # counts, purges and readies what is delayed; else the server does
    rings_for_each: bool = True  # a bell rings for a message even where the last one still waits


class QueueState(msgspec.Struct, frozen=True):
    """How one queue stands. Ages are seconds."""

    name: str
    ready: int = 0
    delayed: int = 0
    leased: int = 0
    dead: int = 0
    oldest: float | None = None  # age of the oldest message that could run now


class QueueShapes(msgspec.Struct, frozen=True):
    """By which arguments queues are made that do not exist yet: of these names, and of others."""

    named: Mapping[str, Mapping[str, Any]] = {}
    others: Mapping[str, Any] = {}

    def has_quorum(self) -> bool:
        """True when some are to be quorum queues, as RabbitMQ calls those it replicates."""
        return any(
            each.get("x-queue-type") == "quorum" for each in (self.others, *self.named.values())
        )

    def of(self, queue: str) -> Mapping[str, Any]:
        """Those of a queue."""
        return self.named.get(queue, self.others)


class WorkerEntry(msgspec.Struct, frozen=True):
    """A worker as its broker knows it."""

    name: str
    host: str
    pid: int
    since: float  # wall time
    alive: bool
    info: Mapping[str, Any] = {}


class Broker(ABC):
    """Custody of messages. Safe to use from many threads and event loops, and after a fork."""

    capabilities: ClassVar[Capabilities]

    # --- moving messages -----------------------------------------------------------------

    @abstractmethod
    def publish(self, messages: Sequence[Message]) -> None:
        """Store messages; when it returns they are kept. Repeatable with the same keys.

        Raises Unavailable (surely nothing stored) or Uncertain (``stored`` names what surely is).
        """

    def publish_in(self, messages: Sequence[Message], seconds: float) -> None:
        """The same; an engine that could wait longer for a silent server raises by then.

        A batch may take longer as long as it gets on.
        """
        self.publish(messages)

    @abstractmethod
    def lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        """Claim up to ``limit`` messages for ``ttl`` seconds, atomically, best first.

        Queues are served in turn beginning with the first, so that none starves; within a queue
        higher priority first, then older first. Messages past their ``expires_at`` and revoked
        ones are leased too (``lease.revoked``): the holder records their end. With nothing there
        it waits up to ``wait`` seconds.
        """

    @abstractmethod
    def extend(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        """Renew leases to ``ttl`` seconds from now; gives those that are still held, renewed."""

    @abstractmethod
    def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """End leases; gives those settlements that were refused because the lease was lost.

        Records that come along are stored in the same atomic step (only by a broker for which
        :meth:`keeps_records_of` said yes), and not at all where the lease is lost.
        """

    @abstractmethod
    def tend(self) -> float | None:
        """Do the upkeep that is due: ready delays, ended leases, leases of dead holders.

        Gives the seconds after which it should be called again, or None when nothing waits.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up connections; leases that are still held run out, or are freed at once."""

    def reconnect(self) -> None:  # noqa: B027 - where there is no connection nothing is to be done
        """Drop connections that may have gone bad; the next use makes new ones.

        Leases, the worker's name and listeners stay. To be called from any thread.
        """

    def part(self) -> None:  # noqa: B027 - where nobody is waited for nothing is to be done
        """Only last words follow, and :meth:`close`: a server that is away is not waited for."""

    def settle_and_lease(
        self, settlements: Sequence[Settlement], queues: Sequence[str], limit: int, ttl: float
    ) -> tuple[list[Settlement], list[Lease]]:
        """Settle and claim, in one round trip where the engine can."""
        wanted = limit > 0 and bool(queues)
        return self.settle(settlements), self.lease(queues, limit, ttl) if wanted else []

    def shape_queues(self, shapes: QueueShapes) -> None:  # noqa: B027 - most know one kind only
        """Make queues that do not exist yet like this, where there are kinds of them."""

    def describe(self) -> str:
        """Where it is, as people are shown it: no password, absolute paths; empty: as the URL."""
        return ""

    def durability(self) -> str:
        """What outlives what, as it is configured now, in one line."""
        return self.capabilities.durable

    def keeps_records_of(self, store: object) -> bool:
        """True when ``settle`` can put records into that result store atomically."""
        return False

    @abstractmethod
    def listen(self, queues: Sequence[str]) -> Listener:
        """A listener that hears when a message may have arrived, or a new announcement.

        Without queues: an announcement only.
        """

    def publish_within(self, connection: Any, messages: Sequence[Message]) -> None:
        """Store messages on the caller's connection: they are there once its transaction commits.

        Raises ConfigError by a broker that is in no database, or for another kind of connection.
        """
        raise ConfigError(
            f"{self.describe() or type(self).__name__} takes part in no transaction: delay_in is "
            "for a broker in the database that you write to, postgresql:// or sqlite://"
        )

    # --- the same, awaiting --------------------------------------------------------------

    async def apublish(self, messages: Sequence[Message]) -> None:
        """Awaiting twin of :meth:`publish`."""
        raise NotImplementedError

    async def apublish_in(self, messages: Sequence[Message], seconds: float) -> None:
        """Awaiting twin of :meth:`publish_in`."""
        await self.apublish(messages)

    async def alease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        """Awaiting twin of :meth:`lease`; a cancelled call hands back what arrives late."""
        raise NotImplementedError

    async def aextend(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        """Awaiting twin of :meth:`extend`."""
        raise NotImplementedError

    async def asettle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Awaiting twin of :meth:`settle`."""
        raise NotImplementedError

    async def apublish_within(self, connection: Any, messages: Sequence[Message]) -> None:
        """Awaiting twin of :meth:`publish_within`."""
        self.publish_within(connection, messages)

    # --- looking at things (capabilities.inspects) ---------------------------------------

    def queues(self) -> list[QueueState]:
        """Every queue that exists, by name, with its counts."""
        raise NotImplementedError

    def depth(self, queue: str) -> int:
        """Messages not yet leased: ready and delayed."""
        raise NotImplementedError

    def peek(self, queue: str, limit: int = 10) -> list[Message]:
        """The next messages, left where they are, in the order they would be leased."""
        raise NotImplementedError

    def purge(self, queue: str) -> int:
        """Drop every message that is not leased; gives how many."""
        raise NotImplementedError

    def remove(self, ids: Sequence[str]) -> int:
        """Drop messages by id unless they are leased; gives how many."""
        raise NotImplementedError

    def dead(self, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """What was kept aside, newest first."""
        raise NotImplementedError

    def replay(self, keys: Sequence[str]) -> list[Message]:
        """Send dead letters again, each as a new publication; gives the messages now queued."""
        raise NotImplementedError

    def drop(self, keys: Sequence[str]) -> int:
        """Forget dead letters; gives how many."""
        raise NotImplementedError

    # --- revoking, announcing, enrolling -------------------------------------------------

    def revoke(self, ids: Sequence[str], ttl: float) -> None:
        """Mark ids as revoked for ``ttl`` seconds; every claim consults them."""
        raise NotImplementedError

    def announce(self, payload: bytes) -> None:
        """Tell something to every worker that listens now."""
        raise NotImplementedError

    def announced(self) -> list[bytes]:
        """What was announced since this broker object was made or last asked."""
        raise NotImplementedError

    @cached_property
    def talk(self) -> Talk:
        """How notes travel: requests to workers, their answers, events (remote control).

        As announcements, unless the broker says them where Celery's processes listen.
        """
        return Announcing(self)

    def enrol(self, name: str, info: Mapping[str, Any]) -> None:
        """Register this process as the worker of that name; raises NameTaken.

        A holder that is provably dead on this host is replaced at once.
        """
        raise NotImplementedError

    def workers(self) -> list[WorkerEntry]:
        """The workers that are enrolled."""
        raise NotImplementedError

    def neighbours(self) -> list[int]:
        """Process ids on this host whose death should be tended to at once (for pidfds)."""
        return []


class PlannedBroker(Broker):
    """A broker on a request/reply engine: each operation is one plan, run in two colours."""

    engine: Engine

    # What a backend writes.

    @abstractmethod
    def _publish(self, messages: Sequence[Message]) -> Plan[None] | Exchange: ...

    @abstractmethod
    def _lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float
    ) -> Plan[list[Lease]]: ...

    @abstractmethod
    def _extend(self, leases: Sequence[Lease], ttl: float) -> Plan[list[Lease]]: ...

    @abstractmethod
    def _settle(self, settlements: Sequence[Settlement]) -> Plan[list[Settlement]]: ...

    @abstractmethod
    def _tend(self) -> Plan[float | None]: ...

    # What callers get.

    def publish(self, messages: Sequence[Message]) -> None:
        if messages:
            drive(self._publish(messages), self.engine)
            telemetry.emit("broker.publish", count=len(messages))

    async def apublish(self, messages: Sequence[Message]) -> None:
        if messages:
            await adrive(self._publish(messages), self.engine)
            telemetry.emit("broker.publish", count=len(messages))

    def lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        return drive(self._lease(queues, limit, ttl, wait), self.engine)

    async def alease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        return await adrive(self._lease(queues, limit, ttl, wait), self.engine)

    def extend(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        return drive(self._extend(leases, ttl), self.engine) if leases else []

    async def aextend(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        return await adrive(self._extend(leases, ttl), self.engine) if leases else []

    def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        return drive(self._settle(settlements), self.engine) if settlements else []

    async def asettle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        return await adrive(self._settle(settlements), self.engine) if settlements else []

    def settle_and_lease(
        self, settlements: Sequence[Settlement], queues: Sequence[str], limit: int, ttl: float
    ) -> tuple[list[Settlement], list[Lease]]:
        wanted = limit > 0 and bool(queues)
        if settlements and wanted:
            both = together(self._settle(settlements), self._lease(queues, limit, ttl, 0.0))
            return drive(both, self.engine)
        if wanted:
            return [], drive(self._lease(queues, limit, ttl, 0.0), self.engine)
        return self.settle(settlements), []

    def tend(self) -> float | None:
        return drive(self._tend(), self.engine)
