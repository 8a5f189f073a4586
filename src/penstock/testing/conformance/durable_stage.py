"""What every case of durable queues stands on: queues in two colours, a clock that moves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import pytest

from penstock import telemetry
from penstock.brokers.base import Broker
from penstock.clock import SYSTEM_CLOCK, Clock, ManualClock
from penstock.durable.items import queue_name
from penstock.durable.queue import DurableQueue
from penstock.durable.rules import Rules
from penstock.errors import Empty
from penstock.message import new_id
from penstock.testing.conformance.stage import Colour
from penstock.testing.conformance.timed import Timed

__all__ = ["DurableStage", "Signals", "User"]

_PATIENCE = 30.0  # seconds: reached only where something never happens


class User:
    """One user of a queue, blocking or awaiting: each awaiting call has a loop of its own."""

    def __init__(self, queue: DurableQueue, colour: Colour) -> None:
        self.queue = queue
        self.colour = colour

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        if self.colour == "blocking":
            return getattr(self.queue, name)(*arguments, **options)
        return asyncio.run(getattr(self.queue, f"a{name}")(*arguments, **options))

    def put(self, *items: Any, **wishes: Any) -> None:
        """Put these, one by one."""
        for item in items:
            self._call("put", item, **wishes)

    def put_many(self, items: list[Any], **wishes: Any) -> int:
        """Put these at once."""
        count: int = self._call("put_many", items, **wishes)
        return count

    def get(self, timeout: float | None = 0.0) -> Any:
        """The next item; it does not wait unless told so."""
        return self._call("get", timeout != 0.0, timeout)

    def get_many(self, limit: int) -> list[Any]:
        """What can be had now, at most ``limit``."""
        items: list[Any] = self._call("get_many", limit, block=False)
        return items

    def done(self, *items: Any) -> None:
        """Settle these."""
        self._call("task_done", *items)

    def put_back(self, item: Any, **options: Any) -> None:
        """Return it without blame."""
        self._call("put_back", item, **options)

    def bury(self, item: Any, reason: str) -> None:
        """Keep it aside."""
        self._call("bury", item, reason)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all is settled."""
        joined: bool = self._call("join", timeout)
        return joined

    def work(self, work: Callable[[Any], object]) -> Any:
        """Take an item, do this with it within the ``with`` block; gives it."""
        if self.colour == "blocking":
            with self.queue.take(block=False) as item:
                work(item)
            return item
        return asyncio.run(self._awork(work))

    async def _awork(self, work: Callable[[Any], object]) -> Any:
        async with self.queue.atake(block=False) as item:
            work(item)
        return item

    def fail(self, error: BaseException) -> None:
        """Take an item and raise this within the ``with`` block."""

        def work(_: Any) -> None:
            raise error

        with pytest.raises(type(error)):
            self.work(work)

    def finish(self) -> list[Any]:
        """Get and settle all that can be had now; gives it in order."""
        done: list[Any] = []
        while True:
            try:
                item = self.get()
            except Empty:
                return done
            self.done(item)
            done.append(item)

    def has_nothing(self) -> bool:
        """True when nothing can be had now."""
        try:
            item = self.get()
        except Empty:
            return True
        self.put_back(item)
        return False

    def __repr__(self) -> str:
        return f"User({self.queue!r}, {self.colour})"


class DurableStage(Timed):
    """A fresh queue for each case. Subclasses say how a client of the broker is made."""

    lease: ClassVar[float] = 10.0
    """Ticks that a lease lasts."""

    one: User
    two: User
    colour: Colour
    name: str

    def make_broker(self, clock: Clock) -> Broker:
        """A new client of the broker under test, which takes its time from ``clock``.

        Several calls within one case give several clients of one and the same broker.
        """
        raise NotImplementedError("a conformance test class overrides make_broker(clock)")

    def url(self) -> str | None:
        """What ``open_queue`` takes in another process; None where no other can share it."""
        return None

    @pytest.fixture(params=["blocking", "awaiting"], autouse=True)
    def _stage(self, request: pytest.FixtureRequest) -> Iterator[None]:
        self.colour = request.param
        self.clock = ManualClock(wall=time.time())
        self.name = f"conformance-{new_id()}"
        self._closing: list[Callable[[], None]] = []
        self.one = self.user()
        self._skip_what_it_cannot(request)
        self.two = self.user()
        yield
        for close in self._closing:
            close()

    def _skip_what_it_cannot(self, request: pytest.FixtureRequest) -> None:
        broker = self.one.queue._desk.broker  # noqa: SLF001 - for its capabilities alone
        for name in getattr(request.function, "needed_capabilities", ()):
            if not getattr(broker.capabilities, name):
                self.one.queue.close()
                pytest.skip(f"{type(broker).__name__} does not have the capability {name!r}")

    def user(
        self, clock: Clock | None = None, *, colour: Colour | None = None, **rules: Any
    ) -> User:
        """One more user of this case's queue, with a connection of its own."""
        clock = clock or self.clock
        made = Rules(**({"lease": self.lease * self.tick} | rules))
        queue = DurableQueue(
            broker=self.make_broker(clock), name=self.name, rules=made, clock=clock
        )
        self._closing.append(queue.close)
        return User(queue, colour or self.colour)

    def user_in_real_time(self, **options: Any) -> User:
        """A user for cases that really wait."""
        return self.user(SYSTEM_CLOCK, **options)

    def frozen_user(self, **options: Any) -> User:
        """A user that renews nothing, as if its process were stopped."""
        user = self.user(**options)
        user.queue._desk.keeper.stop()  # noqa: SLF001 - nothing that users could do
        return user

    def raw(self) -> Broker:
        """The broker alone, for what only a stranger would do to the queue."""
        broker = self.make_broker(self.clock)
        self._closing.append(broker.close)
        return broker

    @property
    def broker_queue(self) -> str:
        """The name that the queue has on the broker."""
        return queue_name(self.name)

    def let_the_lease_end(self) -> None:
        """Let more than a lease go by, in which nothing is renewed."""
        self.pass_time((self.lease + 1) * self.tick)


class Signals:
    """Listens to events of penstock's own life within a ``with`` block, and waits for them."""

    def __init__(self, *names: str) -> None:
        self._arrived = {name: threading.Semaphore(0) for name in names}

    def __enter__(self) -> Self:
        self._subscription = telemetry.subscribe(self._note)
        self._subscription.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._subscription.__exit__(None, None, None)

    def _note(self, name: str, facts: dict[str, Any]) -> None:
        if name in self._arrived:
            self._arrived[name].release()

    def wait(self, name: str, times: int = 1) -> None:
        """Wait until it has happened so often since the last time that this was asked."""
        for _ in range(times):
            assert self._arrived[name].acquire(timeout=_PATIENCE), f"{name} did not happen"
