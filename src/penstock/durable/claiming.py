"""Getting items: claim, sort out what is fit for nobody, heal what the dead held, wait."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

from penstock import telemetry
from penstock.clock import Clock
from penstock.durable import items
from penstock.durable.custody import Custody, Held
from penstock.durable.rules import Rules
from penstock.durable.steps import Ask, Pause, Work
from penstock.durable.tally import Tally
from penstock.errors import DecodeError, ShutDown, Unavailable, Uncertain
from penstock.message import Again, Dead, Done, Lease, Settlement

__all__ = ["Claiming"]

# Seconds. Whoever waits sees to the upkeep so often: what a killed process held is had again
# within it, and a waiter notices so soon that its queue was closed.
_LOOK_AGAIN = 1.0


class Claiming:
    """Makes the work of `get`; see :mod:`penstock.durable.steps`."""

    def __init__(
        self, *, queue: str, rules: Rules, custody: Custody, tally: Tally, clock: Clock
    ) -> None:
        self._queue = queue
        self._rules = rules
        self._custody = custody
        self._tally = tally
        self._clock = clock
        self._tended_at = -math.inf  # monotonic; shared by all that wait here

    def work(self, limit: int, timeout: float | None, *, taken: bool) -> Work[list[Held]]:
        """Up to ``limit`` items, at least one unless ``timeout`` seconds (None: never) are over.

        Raises ShutDown when the queue is closed meanwhile.
        """
        clock = self._clock.monotonic
        deadline = math.inf if timeout is None else clock() + timeout
        wait = 0.0
        while not self._custody.closed:
            leases = yield Ask("lease", ((self._queue,), limit, self._rules.lease, wait))
            held = yield from self._admitted(leases, taken=taken)
            now = clock()
            if held:
                return held
            if leases or self._is_to_tend(now):
                wait = 0.0
                if not leases:
                    yield Ask("tend")
            elif now >= deadline:
                return []
            else:
                wait = min(_LOOK_AGAIN, deadline - now)
        return (yield from self._stopped())

    def _stopped(self) -> Work[list[Held]]:
        """Raise ShutDown; but a thread that will end with the process has nobody to tell it to."""
        while self._custody.process_ends and not _in_main_thread():
            yield Pause(_LOOK_AGAIN)
        raise ShutDown("the queue was closed while this waited for an item")

    def _is_to_tend(self, now: float) -> bool:
        due = now - self._tended_at >= _LOOK_AGAIN
        if due:
            self._tended_at = now
        return due

    def _admitted(self, leases: Sequence[Lease], *, taken: bool) -> Work[list[Held]]:
        """The items of those leases that are fit for somebody; the others are settled."""
        judged = [self._judged(lease, taken=taken) for lease in leases]
        held = [one for one in judged if isinstance(one, Held)]
        endings = [one for one in judged if not isinstance(one, Held)]
        if endings:
            try:
                yield Ask("settle", (endings,))
            except (Unavailable, Uncertain):
                if not held:  # else somebody waits for these; the others are judged again later
                    raise
        if held and not self._custody.admit(held):
            yield Ask("settle", ([Again(one.lease, one.lease.message) for one in held],))
            return (yield from self._stopped())
        self._tally.add("got", len(held))
        return held

    def _judged(self, lease: Lease, *, taken: bool) -> Held | Settlement:
        message = lease.message
        if message.expires_at is not None and message.expires_at <= self._clock.wall():
            return self._expired(lease)
        if lease.revoked:
            return self._expired(lease)
        if lease.deaths >= self._rules.max_deaths:
            return self._dead(lease, f"{lease.deaths} processes died while they held it")
        try:
            return Held(items.read(message), lease, taken=taken)
        except DecodeError as error:
            return self._dead(lease, f"cannot be read: {error}")

    def _expired(self, lease: Lease) -> Done:
        self._tally.add("expired")
        telemetry.emit("durable.expired", key=lease.message.key)
        return Done(lease)

    def _dead(self, lease: Lease, reason: str) -> Dead:
        self._tally.add("dead")
        telemetry.emit("durable.kept_aside", key=lease.message.key, reason=reason)
        return Dead(lease, reason)

    def __repr__(self) -> str:
        return f"<claims on {self._queue}>"


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
