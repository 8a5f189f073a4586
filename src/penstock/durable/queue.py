"""The durable queue: the interface of a local one, in the custody of a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self, Unpack

from penstock.brokers.base import Broker
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.durable.desk import Desk
from penstock.durable.items import PutKeywords
from penstock.durable.looking import Looking
from penstock.durable.loop import Loop
from penstock.durable.rules import Rules
from penstock.errors import ConfigError

__all__ = ["DurableQueue"]

_PLAIN_RULES = Rules()
Reopen = tuple[Callable[..., "DurableQueue"], tuple[Any, ...]]  # what pickle stores


class DurableQueue(Looking):
    """A queue of plain Python data that outlives its processes. Made by ``open_queue``.

    `put` returns when the item is stored. `get` gives an item on lease: it stays in the broker's
    custody until :meth:`task_done` settles it, and if this process dies first another one gets it
    (at least once). The lease is renewed for as long as this process lives. Every method exists
    awaiting as well, with an ``a`` before its name.

    Items are JSON, and what :mod:`penstock.wire.codec` adds to it: datetime, date, time, Decimal,
    UUID, bytes. A tuple comes back as a list, a key of a map as text.

    For any number of threads, event loops and processes: a forked child has connections of its
    own and holds nothing of what its parent holds.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        name: str,
        rules: Rules = _PLAIN_RULES,
        clock: Clock = SYSTEM_CLOCK,
        reopen: Reopen | None = None,
    ) -> None:
        self.name = name
        self._desk = Desk(broker=broker, name=name, rules=rules, clock=clock)
        self._reopen = reopen

    # --- putting -------------------------------------------------------------------------

    def put(
        self,
        item: Any,
        block: bool = True,
        timeout: float | None = None,
        **wishes: Unpack[PutKeywords],
    ) -> None:
        """Store an item; when this returns it is kept as durably as the broker keeps anything.

        ``countdown`` (seconds) or ``eta`` say from when it can be got, ``expires`` until when,
        ``priority`` how urgent it is. It is never full: ``timeout`` is for a broker that is down,
        which is waited for so long (5 seconds unless given).

        Raises EncodeError for what has no form in JSON, Unavailable (surely not stored) or
        Uncertain, ShutDown after :meth:`close`.
        """
        desk = self._desk
        patience = desk.patience(block, timeout)
        desk.run(desk.publishing((desk.packed(item, wishes),)), patience)

    async def aput(
        self,
        item: Any,
        block: bool = True,
        timeout: float | None = None,
        **wishes: Unpack[PutKeywords],
    ) -> None:
        """Awaiting twin of :meth:`put`."""
        desk = self._desk
        patience = desk.patience(block, timeout)
        await desk.arun(desk.publishing((desk.packed(item, wishes),)), patience)

    def put_nowait(self, item: Any) -> None:
        """Store an item, with one try only."""
        self.put(item, block=False)

    def put_many(
        self,
        items: Iterable[Any],
        block: bool = True,
        timeout: float | None = None,
        **wishes: Unpack[PutKeywords],
    ) -> int:
        """Store many items in one go; gives how many. On a file it is one transaction: all or none.

        All have the same wishes. An EncodeError says which item it was, and none is stored.
        """
        desk = self._desk
        messages = desk.packed_all(items, wishes)
        desk.run(desk.publishing(messages), desk.patience(block, timeout))
        return len(messages)

    async def aput_many(
        self,
        items: Iterable[Any],
        block: bool = True,
        timeout: float | None = None,
        **wishes: Unpack[PutKeywords],
    ) -> int:
        """Awaiting twin of :meth:`put_many`."""
        desk = self._desk
        messages = desk.packed_all(items, wishes)
        await desk.arun(desk.publishing(messages), desk.patience(block, timeout))
        return len(messages)

    # --- getting -------------------------------------------------------------------------

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The next item, on lease until :meth:`task_done`; the most urgent first, then the oldest.

        Raises Empty when there was none within ``timeout`` seconds (None: it waits), Unavailable
        when the broker is down, ShutDown when the queue is closed.
        """
        desk = self._desk
        patience = desk.patience(block, timeout)
        return desk.run(desk.getting(1, block, timeout), patience)[0].item

    async def aget(self, block: bool = True, timeout: float | None = None) -> Any:
        """Awaiting twin of :meth:`get`. One that is cancelled has taken nothing."""
        desk = self._desk
        patience = desk.patience(block, timeout)
        return (await desk.arun(desk.getting(1, block, timeout), patience))[0].item

    def get_nowait(self) -> Any:
        """The next item if there is one now; else raises Empty."""
        return self.get(block=False)

    def get_many(self, limit: int, block: bool = True, timeout: float | None = None) -> list[Any]:
        """Up to ``limit`` items at once, as soon as there is one; raises Empty as :meth:`get`."""
        desk = self._desk
        patience = desk.patience(block, timeout)
        held = desk.run(desk.getting(_checked(limit), block, timeout), patience)
        return [one.item for one in held]

    async def aget_many(
        self, limit: int, block: bool = True, timeout: float | None = None
    ) -> list[Any]:
        """Awaiting twin of :meth:`get_many`."""
        desk = self._desk
        patience = desk.patience(block, timeout)
        held = await desk.arun(desk.getting(_checked(limit), block, timeout), patience)
        return [one.item for one in held]

    @contextmanager
    def take(self, block: bool = True, timeout: float | None = None) -> Iterator[Any]:
        """``with q.take() as item:`` settles the item at the end of the block.

        An exception returns it to the head of the queue and goes on; after ``max_attempts`` of
        them it is kept aside, with the last one as its reason. Ctrl-C, SystemExit and a cancelled
        task return it, too, but count for nothing. Raises Empty as :meth:`get`, and LeaseLost at
        the end when the item was somebody else's by then.
        """
        desk = self._desk
        patience = desk.patience(block, timeout)
        (held,) = desk.run(desk.getting(1, block, timeout, taken=True), patience)
        try:
            yield held.item
        except BaseException as error:
            try:
                desk.run(desk.leaving(held, error), late=True)
            except Exception as second:  # noqa: BLE001 - the block's own error is the news
                error.add_note(f"its item could not be returned: {second}")
            raise
        desk.run(desk.leaving(held, None), late=True)

    @asynccontextmanager
    async def atake(self, block: bool = True, timeout: float | None = None) -> AsyncIterator[Any]:
        """Awaiting twin of :meth:`take`: ``async with q.atake() as item:``."""
        desk = self._desk
        patience = desk.patience(block, timeout)
        (held,) = await desk.arun(desk.getting(1, block, timeout, taken=True), patience)
        try:
            yield held.item
        except BaseException as error:
            try:
                await desk.arun(desk.leaving(held, error), late=True)
            except Exception as second:  # noqa: BLE001 - the block's own error is the news
                error.add_note(f"its item could not be returned: {second}")
            raise
        await desk.arun(desk.leaving(held, None), late=True)

    def __iter__(self) -> Loop:
        """Items for ever, each settled when the next one is asked for; ends when it is closed.

        Leaving the loop, by ``break`` or by an exception, returns the item at hand within a third
        of a lease, as a failure, unless it is settled before.
        """
        return Loop(self._desk)

    def __aiter__(self) -> Loop:
        """The same, awaiting."""
        return Loop(self._desk)

    # --- settling ------------------------------------------------------------------------

    def task_done(self, *items: Any) -> None:
        """Settle items that were got here: they never come back. Several share one round trip.

        An item is the very object that was got, changed or not; or a copy that is equal and of
        the same type. Of several equal ones the one got first is settled.

        Raises ValueError for one that is not held by this process (then none is settled), and
        LeaseLost when some were given to others meanwhile (the others are settled). When the
        broker is down it raises Unavailable or Uncertain: they are still held, call it again.
        """
        self._desk.run(self._desk.finishing(items), late=True)

    async def atask_done(self, *items: Any) -> None:
        """Awaiting twin of :meth:`task_done`."""
        await self._desk.arun(self._desk.finishing(items), late=True)

    def put_back(self, item: Any, *, countdown: float = 0.0) -> None:
        """Return an item that was got here, to its place; it counts as no failure."""
        self._desk.run(self._desk.putting_back(item, countdown), late=True)

    async def aput_back(self, item: Any, *, countdown: float = 0.0) -> None:
        """Awaiting twin of :meth:`put_back`."""
        await self._desk.arun(self._desk.putting_back(item, countdown), late=True)

    def bury(self, item: Any, reason: str) -> None:
        """Keep an item that was got here aside, as a dead letter, for this reason."""
        self._desk.run(self._desk.burying(item, reason), late=True)

    async def abury(self, item: Any, reason: str) -> None:
        """Awaiting twin of :meth:`bury`."""
        await self._desk.arun(self._desk.burying(item, reason), late=True)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all that was put, by any process, is settled, expired or kept aside.

        False when ``timeout`` seconds were over first. Raises ConfigError on a broker that cannot
        count what is held.
        """
        self._desk.patience(True, timeout)
        return self._desk.run(self._desk.joining(timeout))

    async def ajoin(self, timeout: float | None = None) -> bool:
        """Awaiting twin of :meth:`join`."""
        self._desk.patience(True, timeout)
        return await self._desk.arun(self._desk.joining(timeout))

    # --- life ----------------------------------------------------------------------------

    def close(self) -> None:
        """Return what was got here, and let nobody get or put anything any more (ShutDown).

        Who waits in `get` stops waiting, within a second. ``with`` blocks and loops that run go on
        and settle what they took; the connection is given up after the last of them.
        """
        self._desk.close()

    async def aclose(self) -> None:
        """Awaiting twin of :meth:`close`."""
        import asyncio

        await asyncio.to_thread(self.close)

    @property
    def closed(self) -> bool:
        """True after :meth:`close`."""
        return self._desk.door.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> Reopen:
        """Sent to another process it is opened there: with its URL, and the password in that."""
        if self._reopen is None or not self._desk.broker.capabilities.shared:
            raise TypeError(
                f"the queue {self.name} cannot be sent to another process, which could not share "
                "it: open one with a URL such as sqlite:///jobs.db"
            )
        return self._reopen

    def __repr__(self) -> str:
        broker = self._desk.broker
        where = broker.describe() or type(broker).__name__
        facts = f"{len(self._desk.custody)} held{', closed' if self.closed else ''}"
        return f"<DurableQueue {self.name} in {where}: {facts}>"


def _checked(limit: int) -> int:
    if limit < 1:
        raise ConfigError(f"'limit' must be 1 or more, not {limit!r}")
    return limit
