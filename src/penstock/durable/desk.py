"""What stands behind a queue object: its parts put together, and the work that calls ask for.

Everything here is without colour; :mod:`penstock.durable.queue` runs it blocking or awaiting.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from penstock.brokers.base import Broker
from penstock.clock import Clock
from penstock.durable import items
from penstock.durable.claiming import Claiming
from penstock.durable.custody import Custody, Held
from penstock.durable.door import Door
from penstock.durable.ending import Ending
from penstock.durable.keeper import Keeper
from penstock.durable.rules import Rules
from penstock.durable.steps import Ask, Caller, Pause, Work
from penstock.durable.tally import Tally
from penstock.errors import ConfigError, Empty, LeaseLost, PenstockError, ShutDown
from penstock.message import Again, Message

__all__ = ["Desk"]

R = TypeVar("R")

_FIRST_LOOK, _LATER_LOOKS = 0.005, 0.1  # seconds between two looks of `join`
_IDLE = 5  # times as long as a look takes, it rests


class Desk:
    """One queue as one process uses it. For any number of threads, event loops and forks."""

    def __init__(self, *, broker: Broker, name: str, rules: Rules, clock: Clock) -> None:
        self.broker = broker
        self.name = name
        self.queue = items.queue_name(name)
        self.rules = rules.checked()
        self.clock = clock
        self.tally = Tally()
        self.custody = Custody()
        self.door = Door(name, shut=broker.close, occupied=lambda: bool(len(self.custody)))
        self.keeper = Keeper(
            broker=broker,
            custody=self.custody,
            door=self.door,
            tally=self.tally,
            lease=rules.lease,
            give_back=self._left_behind,
        )
        self.caller = Caller(broker=broker, clock=clock)
        self.ending = Ending(
            name=name, rules=rules, custody=self.custody, tally=self.tally, clock=clock
        )
        self._claiming = Claiming(
            queue=self.queue, rules=rules, custody=self.custody, tally=self.tally, clock=clock
        )
        _desks.add(self)

    def start_afresh(self) -> None:
        """For a forked child: what is held, who is inside and the thread are the parent's."""
        self.custody.start_afresh()
        self.door.start_afresh()
        self.keeper.start_afresh()
        self.tally.start_afresh()

    def run(self, work: Work[R], patience: float | None = None, *, late: bool = False) -> R:
        """Do this work, blocking; ShutDown once the queue is closed, but for settling ``late``."""
        self.door.enter(late=late)
        try:
            return self.caller.run(work, self.rules.patience if patience is None else patience)
        finally:
            self.door.leave()

    async def arun(self, work: Work[R], patience: float | None = None, *, late: bool = False) -> R:
        """Do this work, awaiting."""
        self.door.enter(late=late)
        try:
            limit = self.rules.patience if patience is None else patience
            return await self.caller.arun(work, limit)
        finally:
            self.door.leave()

    # --- putting -------------------------------------------------------------------------

    def packed(self, item: Any, wishes: Mapping[str, Any]) -> Message:
        """The item as it is published; raises EncodeError, ConfigError."""
        if not wishes:
            return items.pack(item, self.queue)
        return items.pack(item, self.queue, self._wishes(wishes))

    def packed_all(self, values: Iterable[Any], wishes: Mapping[str, Any]) -> list[Message]:
        """The same for many items."""
        return items.pack_many(values, self.queue, self._wishes(wishes))

    def _wishes(self, given: Mapping[str, Any]) -> items.Wishes:
        return items.wishes(given, now=self.clock.wall(), able=self.broker.capabilities)

    def publishing(self, messages: Sequence[Message]) -> Work[None]:
        """Store them."""
        if messages:
            yield Ask("publish", (messages,))
            self.tally.add("put", len(messages))

    # --- getting -------------------------------------------------------------------------

    def getting(
        self, limit: int, block: bool, timeout: float | None, *, taken: bool = False
    ) -> Work[list[Held]]:
        """Up to ``limit`` items, one at least; raises Empty, ShutDown."""
        self.keeper.start()
        held = yield from self._claiming.work(limit, timeout if block else 0.0, taken=taken)
        if not held:
            waited = f" within {timeout:g} seconds" if block and timeout else ""
            raise Empty(f"the queue {self.name} had nothing to get{waited}")
        return held

    def patience(self, block: bool, timeout: float | None) -> float:
        """Seconds for which such a call waits for a broker that is down; ConfigError for bad ones.

        A broker's outage never makes a call longer than its caller allowed.
        """
        if not block:
            return 0.0
        if timeout is None:
            return self.rules.patience
        if not timeout >= 0:  # as it is for what is no number at all
            raise ConfigError(
                f"'timeout' must be a non-negative number of seconds, not {timeout!r}"
            )
        return min(timeout, self.rules.patience)

    # --- ending --------------------------------------------------------------------------

    def finishing(self, values: Sequence[Any]) -> Work[None]:
        """Settle these items."""
        if values:
            yield from self.ending.done(self.custody.seize(values))

    def putting_back(self, item: Any, countdown: float) -> Work[None]:
        """Return this item without blame."""
        if countdown > 0:
            self._wishes({"countdown": countdown})  # refused where the broker cannot
        yield from self.ending.returned(self.custody.seize([item]), countdown)

    def burying(self, item: Any, reason: str) -> Work[None]:
        """Keep this item aside."""
        yield from self.ending.buried(self.custody.seize([item]), reason)

    def leaving(self, one: Held, error: BaseException | None) -> Work[None]:
        """What follows a ``with`` block: done, a failure, or a stop that is not the item's fault.

        Nothing happens where the block has settled it. One that cannot be settled is given up: it
        is had again when its lease runs out.
        """
        if not self.custody.seize_one(one):
            return
        try:
            if error is None:
                yield from self.ending.done([one])
            elif isinstance(error, Exception):
                yield from self.ending.failed(one, f"{type(error).__name__}: {error}")
            else:
                yield from self.ending.returned([one])
        finally:
            self.custody.let_go([one])

    def _left_behind(self, one: Held) -> None:
        """Return what a loop left in the middle."""
        error = LoopLeft("the loop over the queue was left before the item was settled")
        with contextlib.suppress(LeaseLost):  # nobody is left to be told
            self.run(self.leaving(one, error), 0.0, late=True)

    # --- looking -------------------------------------------------------------------------

    def unfinished(self) -> Work[int]:
        """How many are not settled: those that wait, those that are delayed, those that are held.

        Raises ConfigError where the broker cannot say.
        """
        self.needs("inspects", "exact_depth")
        states = yield Ask("queues")
        return sum(
            state.ready + state.delayed + state.leased
            for state in states
            if state.name == self.queue
        )

    def joining(self, timeout: float | None) -> Work[bool]:
        """Wait until nothing is unfinished; False when ``timeout`` seconds were over first.

        Brokers do not tell when something is settled, so it looks again and again, for a small
        part of the time.
        """
        clock = self.clock.monotonic
        deadline = None if timeout is None else clock() + timeout
        rest = _FIRST_LOOK
        while True:
            began = clock()
            if not (yield from self.unfinished()):
                return True
            now = clock()
            if deadline is not None and now >= deadline:
                return False
            rest = max(min(2 * rest, _LATER_LOOKS), _IDLE * (now - began))
            yield Pause(rest if deadline is None else min(rest, deadline - now))
            if self.door.closed:
                raise ShutDown(f"the queue {self.name} was closed while this waited for its end")

    def needs(self, *abilities: str) -> None:
        """Raise ConfigError for what this broker cannot do."""
        for ability in abilities:
            if not getattr(self.broker.capabilities, ability):
                raise ConfigError(
                    f"{type(self.broker).__name__} cannot do this for the queue {self.name}: it "
                    f"lacks the capability {ability!r}"
                )

    # --- closing -------------------------------------------------------------------------

    def close(self) -> None:
        """Return what is held and let nobody in any more.

        Blocks and loops that still run may settle what they took.
        """
        self.door.closed = True
        try:
            self.door.enter(late=True)
        except ShutDown:
            return  # it was closed before
        try:
            self._return(self.custody.close())
        finally:
            self.door.leave()

    def end_with_process(self) -> None:
        """Return all that is held; who is inside stays there to the end, which is near."""
        self._return(self.custody.close(process_ends=True))

    def _return(self, held: Sequence[Held]) -> None:
        back = [Again(one.lease, one.lease.message) for one in held]
        with contextlib.suppress(PenstockError):  # the broker is down: then the leases run out
            self.broker.settle(back)
        if not len(self.custody):
            self.keeper.stop()

    def __repr__(self) -> str:
        return f"<desk of {self.name}>"


class LoopLeft(Exception):
    """Stands in a dead letter for what nobody saw."""


# --- forks and the end of the process: hooks cannot be taken back, so one set serves all ----------

_desks: weakref.WeakSet[Desk] = weakref.WeakSet()


def _after_fork() -> None:
    for desk in list(_desks):
        desk.start_afresh()


def _at_exit() -> None:
    """What is held is returned at once, and no death is counted."""
    for desk in list(_desks):
        desk.end_with_process()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
