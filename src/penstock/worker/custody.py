"""The supervisor's dealings with broker and result store: one round trip for all that gathered.

Settlements and records gather here while the supervisor does other things; :meth:`exchange`
carries them over, together with the next claim. When the broker is away everything stays here,
in order, and is tried again after a pause with jitter: leases that end meanwhile are refused by
their fence, so trying again is always safe.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from penstock.clock import Clock
from penstock.crashpoints import reach
from penstock.errors import BrokerError, ConfigError, Unavailable, Uncertain
from penstock.message import Again, Dead, Done, Lease, Message, Record, Settlement
from penstock.worker.second_look import asks, sift

if TYPE_CHECKING:
    from logging import Logger

    from penstock.brokers.base import Broker
    from penstock.results.base import ResultStore

__all__ = ["Custody"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0  # a server that is back is used within 3 s
_TROUBLE = (BrokerError, ConfigError)  # gone, or another than before: whoever mends it need not
# start every worker anew


class Custody:
    """Touched only by the supervisor's loop."""

    def __init__(
        self, *, broker: Broker, store: ResultStore, ttl: float, clock: Clock, log: Logger
    ) -> None:
        self._broker = broker
        self._store = store
        self._ttl = ttl
        self._clock = clock
        self._log = log
        self._atomic = broker.keeps_records_of(store)
        self._settlements: list[Settlement] = []
        self._records: list[Record] = []
        self._retries: list[tuple[Lease, Record]] = []  # what the store is told once they are sent
        self._messages: list[Message] = []
        self._pause = 0.0
        self._again_at = 0.0  # monotonic
        self._trouble = ""  # what was said of it last
        self._apart = False  # settle without claiming: what claims refuse shall not hold it up
        self.claimed = 0  # by the last exchange, what had ended before included
        self.lost = 0
        self.repeated = 0  # messages that came again although they had ended

    @property
    def pending(self) -> bool:
        """True when something waits to be carried over."""
        return bool(self._settlements or self._records or self._messages)

    @property
    def resting(self) -> float:
        """Seconds until the broker may be asked again; 0 when it may be now."""
        return max(0.0, self._again_at - self._clock.monotonic()) if self._pause else 0.0

    def settle(self, settlement: Settlement) -> None:
        """Carry this over with the next exchange."""
        if settlement.record is not None and not self._atomic:
            self._records.append(settlement.record)
            if not self._broker.capabilities.settles_surely:
                self._retries += _told_by_retries(settlement, settlement.record)
            settlement = _without_record(settlement)
        self._settlements.append(settlement)

    def store(self, record: Record) -> None:
        """Store a state that settles nothing."""
        self._records.append(record)

    def publish(self, message: Message, record: Record | None) -> None:
        """Send a message that replaces nothing: the retry of a task acknowledged early."""
        if record is not None:
            self._records.append(record)
        self._messages.append(message)

    def exchange(self, queues: Sequence[str], limit: int) -> list[Lease]:
        """Carry over what gathered and claim up to ``limit``; nothing while the broker is away."""
        self.claimed = 0
        if self.resting:
            return []
        try:
            leases = self._exchange(queues, limit)
        except _TROUBLE as error:
            self._rest(error)
            return []
        self._apart = False
        self._is_back()
        return leases

    def _exchange(self, queues: Sequence[str], limit: int) -> list[Lease]:
        if self._settlements:
            reach("settling")
        # Records before settlements: a crash between the two repeats the task, never its result.
        self._put_records()
        if self._messages:
            self._broker.publish(self._messages)
            self._messages = []
        if self._apart:
            self._settled(self._broker.settle(self._settlements))
        lost, leases = self._broker.settle_and_lease(self._settlements, queues, limit, self._ttl)
        if self._settlements:
            reach("settled")
            self._settled(lost)
        if leases:
            reach("claimed")
        self.claimed = len(leases)
        return self._sifted(leases) if asks(self._broker.capabilities, leases) else leases

    def _put_records(self) -> None:
        if self._records:
            self._store.put(self._records)
            self._records = []

    def _settled(self, lost: Sequence[Settlement]) -> None:
        if self._retries:
            gone = {settlement.lease.fence for settlement in lost}
            self._records += [told for lease, told in self._retries if lease.fence not in gone]
        self._settlements, self._retries = [], []
        if lost:
            self._note_lost(lost)

    def _sifted(self, leases: list[Lease]) -> list[Lease]:
        """Those that may begin, as far as the store knows."""
        try:
            self._put_records()
            seen = sift(leases, self._store.get([lease.message.id for lease in leases]))
        except _TROUBLE:
            self._settlements += [Again(lease, lease.message) for lease in reversed(leases)]
            raise
        for lease in seen.ended:
            self.repeated += 1
            self._log.warning(
                "Task %s has ended before, but its acknowledgement was lost; it does not run again",
                lease.message.id,
            )
        self._settlements += [Done(lease) for lease in seen.ended]
        later = self._clock.wall() + self._ttl
        self._settlements += [Again(lease, lease.message, later) for lease in seen.copies]
        return seen.open

    def _note_lost(self, lost: Iterable[Settlement]) -> None:
        for settlement in lost:
            self.lost += 1
            message = settlement.lease.message
            self._log.warning(
                "The lease on task %s was lost before it was settled; what it did is not stored",
                message.id,
            )

    def settle_now(self, leases: Sequence[Lease]) -> list[Lease]:
        """Acknowledge before the run; gives the leases that were still held.

        Raises Unavailable or Uncertain; then none of them may run.
        """
        lost = self._broker.settle([Done(lease) for lease in leases])
        gone = {settlement.lease.message.key for settlement in lost}
        return [lease for lease in leases if lease.message.key not in gone]

    def extend(self, leases: Sequence[Lease]) -> set[str]:
        """Renew leases; gives the keys of those that are still held."""
        try:
            held = {lease.message.key for lease in self._broker.extend(leases, self._ttl)}
        except _TROUBLE as error:
            self._rest(error)
            return {lease.message.key for lease in leases}
        self._is_back()
        return held

    def tend(self) -> float | None:
        """Do the broker's upkeep; gives the seconds until the next."""
        if self.resting:
            return self.resting
        try:
            due = self._broker.tend()
        except _TROUBLE as error:
            self._rest(error)
            return self._pause
        self._is_back()
        return due

    def part(self) -> None:
        """Only last words follow: they are not worth waiting for."""
        self._broker.part()
        self._store.part()

    def hurry(self) -> None:
        """The broker let itself be heard: it may be there again."""
        if self._pause:
            self._pause = _FIRST_PAUSE
            self._again_at = min(self._again_at, self._clock.monotonic() + _FIRST_PAUSE)

    def insist(self) -> None:
        """Ask with the next exchange, however long the broker was to be left alone."""
        self._again_at = self._clock.monotonic()

    def _is_back(self) -> None:
        if self._pause and not self._apart:
            self._log.info("The broker is back.")
            self._pause, self._trouble = 0.0, ""

    def _rest(self, error: Exception) -> None:
        if isinstance(error, Unavailable | Uncertain):
            if not self._pause:
                self._log.error("The broker is away, trying again: %s", error)
        else:  # there, and it refuses: of that each reason is told
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._log.error("The broker refuses, trying again: %s", error)
            self._apart = True
        self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, self._pause * 2))
        self._again_at = self._clock.monotonic() + self._pause * random.uniform(0.5, 1.0)


def _told_by_retries(settlement: Settlement, record: Record) -> list[tuple[Lease, Record]]:
    """For a retry the same state once more, as of the publication that follows.

    It is stored when that one was sent; then the first one is over for good. Else a second copy
    of its message, which some brokers may have, would run beside the retry.
    """
    if not isinstance(settlement, Again) or settlement.message.key == settlement.lease.message.key:
        return []
    return [(settlement.lease, replace(record, key=settlement.message.key, attempt=0))]


def _without_record(settlement: Settlement) -> Settlement:
    match settlement:
        case Done():
            return Done(settlement.lease)
        case Again():
            return Again(settlement.lease, settlement.message, settlement.at)
        case Dead():
            return Dead(settlement.lease, settlement.reason)
