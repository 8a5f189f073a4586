"""What every case stands on: clients in two colours, a clock that the case moves, own queues."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import pytest

from penstock.brokers.base import Broker, Capabilities
from penstock.clock import SYSTEM_CLOCK, Clock, ManualClock
from penstock.message import Done, Lease, Message, Settlement, new_id
from penstock.testing.conformance.timed import Timed

__all__ = ["LONG", "BrokerStage", "Client", "Colour", "ids", "needs"]

Colour = Literal["blocking", "awaiting"]
Case = TypeVar("Case", bound=Callable[..., Any])

LONG = 3_600.0  # seconds: a lease that does not end within a case


def needs(*capabilities: str) -> Callable[[Case], Case]:
    """Have a case skipped, with a line that says why, by a broker that cannot do these."""
    unknown = set(capabilities) - set(Capabilities.__struct_fields__)
    if unknown:
        raise ValueError(f"no such capabilities: {', '.join(sorted(unknown))}")

    def mark(case: Case) -> Case:
        case.needed_capabilities = capabilities  # type: ignore[attr-defined]
        return case

    return mark


def ids(leases: Iterable[Lease]) -> list[str]:
    """The task ids of leases, in their order."""
    return [lease.message.id for lease in leases]


class Client:
    """One client of the broker, blocking or awaiting: each awaiting call has a loop of its own."""

    def __init__(self, broker: Broker, colour: Colour) -> None:
        self.broker = broker
        self.colour = colour

    def publish(self, *messages: Message) -> None:
        """Publish these messages."""
        if self.colour == "blocking":
            self.broker.publish(messages)
        else:
            asyncio.run(self.broker.apublish(messages))

    def lease(
        self, *queues: str, limit: int = 1, ttl: float = LONG, wait: float = 0.0
    ) -> list[Lease]:
        """Claim from these queues."""
        if self.colour == "blocking":
            return self.broker.lease(queues, limit, ttl, wait)
        return asyncio.run(self.broker.alease(queues, limit, ttl, wait))

    def extend(self, *leases: Lease, ttl: float = LONG) -> list[Lease]:
        """Renew these leases."""
        if self.colour == "blocking":
            return self.broker.extend(leases, ttl)
        return asyncio.run(self.broker.aextend(leases, ttl))

    def settle(self, *settlements: Settlement) -> Sequence[Settlement]:
        """Settle; gives what was lost."""
        if self.colour == "blocking":
            return self.broker.settle(settlements)
        return asyncio.run(self.broker.asettle(settlements))

    def finish(self, queue: str) -> list[str]:
        """Lease and settle all that can be had; gives the ids in order."""
        done: list[str] = []
        while leases := self.lease(queue, limit=10):
            assert not self.settle(*map(Done, leases))
            done += ids(leases)
        return done

    def __repr__(self) -> str:
        return f"Client({self.broker!r}, {self.colour})"


class BrokerStage(Timed):
    """A fresh stage for each case. Subclasses say how a client of the broker is made."""

    one: Client
    two: Client
    colour: Colour
    queue: str

    def make_broker(self, clock: Clock) -> Broker:
        """A new client of the broker under test, which takes its time from ``clock``.

        Several calls within one case give several clients of one and the same broker.
        """
        raise NotImplementedError("a conformance test class overrides make_broker(clock)")

    @pytest.fixture(params=["blocking", "awaiting"], autouse=True)
    def _stage(self, request: pytest.FixtureRequest) -> Iterator[None]:
        self.colour = request.param
        self.clock = ManualClock(wall=time.time())
        self.queue = f"penstock-conformance-{new_id()}"
        self._opened: list[Broker] = []
        self._numbers = itertools.count(1)
        self.one = self.client()
        self._skip_if_it_cannot(request)
        self.two = self.client()
        yield
        for broker in self._opened:
            broker.close()

    def _skip_if_it_cannot(self, request: pytest.FixtureRequest) -> None:
        broker = self.one.broker
        for name in getattr(request.function, "needed_capabilities", ()):
            if not getattr(broker.capabilities, name):
                broker.close()
                pytest.skip(f"{type(broker).__name__} does not have the capability {name!r}")

    def client(self, clock: Clock | None = None, colour: Colour | None = None) -> Client:
        """One more client, closed at the end of the case."""
        broker = self.make_broker(clock or self.clock)
        self._opened.append(broker)
        return Client(broker, colour or self.colour)

    def client_in_real_time(self, colour: Colour | None = None) -> Client:
        """A client for cases that really wait."""
        return self.client(SYSTEM_CLOCK, colour)

    @property
    def heir(self) -> Client:
        """Who may extend and settle what ``one`` has leased: anybody, where leases can be told."""
        return self.two if self.one.broker.capabilities.transferable else self.one

    def message(self, id: str | None = None, **fields: Any) -> Message:
        """A message for this case's queue."""
        task_id = id or f"task-{next(self._numbers)}"
        defaults = {
            "queue": self.queue,
            "headers": {"task": "conformance.case", "id": task_id},
            "body": b"[[], {}, {}]",
        }
        return Message(id=task_id, **(defaults | fields))

    def messages(self, count: int, **fields: Any) -> list[Message]:
        """So many messages."""
        return [self.message(**fields) for _ in range(count)]

    def lease_one(self, client: Client | None = None, ttl: float = LONG) -> Lease:
        """The next lease of this case's queue; there must be one."""
        leases = (client or self.one).lease(self.queue, ttl=ttl)
        assert len(leases) == 1, "a message that is ready was not leased"
        return leases[0]
