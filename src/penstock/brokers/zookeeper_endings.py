"""Leases in ZooKeeper that are renewed, and how they end: every ending names the fence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from penstock.brokers.zookeeper_claims import ZooKeeperClaims
from penstock.brokers.zookeeper_nodes import (
    ROOT,
    Held,
    Holder,
    Key,
    Letter,
    Place,
    encode,
    named,
    read_or_none,
)
from penstock.crashpoints import reach
from penstock.engines.processes import Process
from penstock.message import Again, Dead, Lease, Message, Settlement

__all__ = ["ZooKeeperEndings"]

_CUT = " …"
_LONGER = 8  # bytes by which two characters of it are more, with what says the length


class ZooKeeperEndings(ZooKeeperClaims):
    """The part of the broker that takes messages back, or away."""

    @abstractmethod
    def _bucket(self) -> str:
        """The node for what is settled now."""

    @property
    @abstractmethod
    def _largest(self) -> int:
        """The bytes that a node's data may have."""

    @abstractmethod
    def _fitting(self, message: Message) -> list[tuple[Any, ...]]:
        """The change that publishes a message; raises EncodeError where it is too large."""

    def _places(self, leases: Sequence[Lease]) -> list[tuple[Place, Key] | None]:
        """Where leased messages are, as their keys tell."""
        found = self._data([f"{ROOT}/keys/{named(lease.message.key)}" for lease in leases])
        keys = [None if one is None else read_or_none(one[0], Key) for one in found]
        return [key and (Place(key.queue, key.name), key) for key in keys]

    def extend(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        if not leases:
            return []
        until = self._now() + ttl
        data = encode(Holder(until, Process.this(self._clock)))
        there = [
            (lease, place[0])
            for lease, place in zip(leases, self._places(leases), strict=True)
            if place is not None and place[1].settled < 0
        ]
        reach("extend.asked")
        outcomes = self.session.change(
            [
                [("check", place.message, lease.fence), ("set_data", place.lease, data)]
                for lease, place in there
            ]
        )
        kept = [
            lease
            for (lease, place), wrong in zip(there, outcomes, strict=True)
            if wrong is None or self._lease_anew(lease, place, data)
        ]
        reach("extend.done")
        return [replace(lease, until=until) for lease in kept]

    def _lease_anew(self, lease: Lease, place: Place, data: bytes) -> bool:
        """The session that held it is over, but nobody has claimed it since."""
        change = [("check", place.message, lease.fence), ("create", place.lease, data, None, True)]
        return self.session.change([change]) == [None]

    def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        if not settlements:
            return []
        new = [x.message.queue for x in settlements if isinstance(x, Again)]
        self._have_queues(new)
        places = self._places([settlement.lease for settlement in settlements])
        open_ones = [
            (settlement, place[0])
            for settlement, place in zip(settlements, places, strict=True)
            if place is not None and place[1].settled < 0
        ]
        bucket = self._bucket()
        outcomes = self.session.change(
            [
                [*self._ending(settlement, place, bucket), ("delete", place.lease)]
                for settlement, place in open_ones
            ]
        )
        done = {
            id(settlement)
            for (settlement, place), wrong in zip(open_ones, outcomes, strict=True)
            if wrong is None or self._settled_anyway(settlement, place, bucket)
        }
        done |= {
            id(settlement)
            for settlement, place in zip(settlements, places, strict=True)
            if place is not None and place[1].settled == settlement.lease.fence
        }
        return [settlement for settlement in settlements if id(settlement) not in done]

    def _settled_anyway(self, settlement: Settlement, place: Place, bucket: str) -> bool:
        """It was settled so before, or only the node of its lease has gone with a session."""
        if self.session.change([self._ending(settlement, place, bucket)]) == [None]:
            return True
        ((found, known),) = zip(self._read([place]), self._places([settlement.lease]), strict=True)
        fence = settlement.lease.fence
        if known is not None and known[1].settled == fence:
            return True
        handed_back = (
            isinstance(settlement, Again) and settlement.message.key == settlement.lease.message.key
        )
        return handed_back and found is not None and found[0].returned == fence

    def _ending(self, settlement: Settlement, place: Place, bucket: str) -> list[tuple[Any, ...]]:
        """The change that ends a lease, but for its node."""
        lease = settlement.lease
        message, fence, now = lease.message, lease.fence, self._clock.wall()
        if isinstance(settlement, Again) and settlement.message.key == message.key:
            return self._return(settlement, place, now)
        name = named(message.key)
        change: list[tuple[Any, ...]] = [
            ("delete", place.message, fence),
            ("set_data", f"{ROOT}/keys/{name}", encode(Key(place.queue, place.name, fence))),
            ("create", f"{bucket}/{name}"),
        ]
        if isinstance(settlement, Again):
            retry = settlement.message
            ready_at = max(retry.ready_at, settlement.at)
            change += self._fitting(replace(retry, ready_at=ready_at))
        elif isinstance(settlement, Dead):
            held = replace(Held.of(message, now), attempt=lease.attempt, deaths=lease.deaths)
            letter = Letter(message.queue, held, settlement.reason, lease.attempt, now)
            change.append(("create", f"{ROOT}/dead/{name}", self._written(letter)))
        return change

    def _written(self, letter: Letter) -> bytes:
        """A letter that fits: of a long reason there is as much as there is room for.

        The server closes the connection of whoever sends it more, however often.
        """
        data = encode(letter)
        over = len(data) - self._largest
        if over <= 0:
            return data
        kept = letter.reason.encode()[: -over - len(_CUT) - _LONGER]
        return encode(replace(letter, reason=kept.decode("utf-8", "ignore") + _CUT))

    def _return(self, settlement: Again, place: Place, now: float) -> list[tuple[Any, ...]]:
        """Back to its place, with what its message says now."""
        lease = settlement.lease
        ready_at = max(settlement.message.ready_at, settlement.at)
        held = replace(
            Held.of(replace(settlement.message, ready_at=ready_at), now),
            attempt=lease.attempt,
            deaths=lease.deaths,
            returned=lease.fence,
        )
        change: list[tuple[Any, ...]] = [("set_data", place.message, encode(held), lease.fence)]
        if ready_at > now:
            change.append(("create", place.later(ready_at)))
        return change
