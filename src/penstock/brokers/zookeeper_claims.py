"""Claims in ZooKeeper: which messages are free, and which of them are ours from now on."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from penstock.brokers.zookeeper_looking import Shelf, ZooKeeperLooking
from penstock.brokers.zookeeper_nodes import (
    ROOT,
    Holder,
    Key,
    Place,
    as_letter,
    encode,
    marked,
    named,
    read_or_none,
    unnamed,
)
from penstock.engines.processes import Fate, Process
from penstock.message import Lease

__all__ = ["ZooKeeperClaims"]

_LOG = logging.getLogger("penstock")
_ROUNDED = 0.001  # names tell times in milliseconds, rounded up


class ZooKeeperClaims(ZooKeeperLooking):
    """The part of the broker that hands messages out."""

    @abstractmethod
    def _now(self) -> float:
        """What leases are measured by."""

    def _claim(
        self, queues: Sequence[str], limit: int, ttl: float
    ) -> tuple[list[Lease], float | None]:
        """Leases, and without any the seconds until there may be one."""
        wanted = list(dict.fromkeys(queues))
        if limit <= 0 or not wanted:
            return [], None
        shelves = self._shelves(wanted)
        ended = self._ended(shelves)
        revoked = self._revoked()
        lines = [self._line(shelf, ended) for shelf in shelves]
        leases: list[Lease] = []
        turns = _in_turn(lines)
        while len(leases) < limit:
            places = [place for place, _ in zip(turns, range(limit - len(leases)), strict=False)]
            if not places:
                break
            leases += self._take(places, shelves, ended, ttl, revoked)
        return leases, None if leases else self._due(shelves, ended)

    def _line(self, shelf: Shelf, ended: dict[Place, int]) -> Iterator[Place]:
        now = self._clock.wall()
        for name in shelf.messages:
            place = Place(shelf.queue, name)
            if (name not in shelf.leases or place in ended) and shelf.ready_at(name) <= now:
                yield place

    def _holders(self, shelves: Sequence[Shelf]) -> list[tuple[Place, Holder | None, int]]:
        """Who works on what, with the version of the lease's node; None: somebody else wrote it."""
        places = [Place(shelf.queue, name) for shelf in shelves for name in shelf.leases]
        found = self._data([place.lease for place in places])
        return [
            (place, read_or_none(one[0], Holder), one[1].version)
            for place, one in zip(places, found, strict=True)
            if one is not None
        ]

    def _ended(self, shelves: Sequence[Shelf]) -> dict[Place, int]:
        """Leases that ran out, or whose holder is surely dead, by the version of their node."""
        now, found = self._now(), self._holders(shelves)
        ends = [holder.until - now for _, holder, _ in found if holder is not None]
        self._next_end = min(ends, default=None)
        mine = Process.this(self._clock)
        return {
            place: version
            for place, holder, version in found
            if holder is None
            or holder.until <= now
            or (holder.process.host == mine.host and mine.fate(holder.process) is Fate.DEAD)
        }

    def _due(self, shelves: Sequence[Shelf], ended: dict[Place, int]) -> float | None:
        now = self._clock.wall()
        times = [
            shelf.ready_at(name) - now - _ROUNDED
            for shelf in shelves
            for name in shelf.messages
            if name not in shelf.leases
        ]
        if self._next_end is not None:
            times.append(self._next_end)
        return max(0.001, min(times)) if times else None

    def _take(
        self,
        places: Sequence[Place],
        shelves: Sequence[Shelf],
        ended: dict[Place, int],
        ttl: float,
        revoked: dict[str, float],
    ) -> list[Lease]:
        """Claim these, each in one transaction; what somebody else was faster with is left out."""
        later = {shelf.queue: shelf.later for shelf in shelves}
        until = self._now() + ttl
        data = encode(Holder(until, Process.this(self._clock)))
        wall = self._clock.wall()
        changes, leases = [], []
        for place, (held, version, found) in zip(places, self._read_all(places), strict=True):
            if found is not None and held is None:
                self._set_aside(place, found, version)
            if held is None:
                continue
            deaths = held.deaths + (1 if held.leased else 0)
            taken = replace(held, attempt=held.attempt + 1, deaths=deaths, leased=True)
            change: list[tuple[Any, ...]] = []
            if place in ended:
                change.append(("delete", place.lease, ended[place]))
            key = encode(Key(place.queue, place.name))
            change += [
                ("set_data", place.message, encode(taken), version),
                ("create", place.lease, data, None, True),
                ("set_data", f"{ROOT}/keys/{named(taken.key)}", key),
            ]
            if place.name in later[place.queue]:
                change.append(("delete", place.later(later[place.queue][place.name])))
            changes.append(change)
            mark = revoked.get(taken.id, 0.0) > wall
            leases.append(taken.lease(place.queue, until, version + 1, revoked=mark))
        outcomes = self.session.change(changes)
        return [
            lease
            for lease, change, wrong in zip(leases, changes, outcomes, strict=True)
            if wrong is None or self._took_without_key(change, wrong)
        ]

    def _took_without_key(self, change: list[tuple[Any, ...]], wrong: Exception) -> bool:
        """Somebody removed the node that says where the message is: it is made anew."""
        from kazoo.exceptions import NoNodeError

        keys = f"{ROOT}/keys/"
        if not isinstance(wrong, NoNodeError):
            return False
        anew = [
            ("create", *step[1:]) if step[0] == "set_data" and step[1].startswith(keys) else step
            for step in change
        ]
        return self.session.change([anew]) == [None]

    def _set_aside(self, place: Place, data: bytes, version: int) -> None:
        """What is no message becomes a dead letter, or it would be looked at for ever."""
        reason = f"its node holds no message of penstock's: {place.message}"
        letter = as_letter(
            data, queue=place.queue, name=place.name, reason=reason, now=self._clock.wall()
        )
        _LOG.error("A dead letter in queue %s: %s", place.queue, reason)
        self.session.change(
            [
                [
                    ("delete", place.message, version),
                    ("create", f"{ROOT}/dead/{named(letter.held.key)}", encode(letter)),
                ]
            ]
        )

    def _revoked(self) -> dict[str, float]:
        (names,) = self._children(f"{ROOT}/revoked")
        ends: dict[str, float] = {}
        for name in names:
            if (found := marked(name, "~")) is not None:
                task_id = unnamed(found[0])
                ends[task_id] = max(ends.get(task_id, 0.0), found[1] / 1000)
        return ends


def _in_turn(lines: Sequence[Iterator[Place]]) -> Iterator[Place]:
    """One of each line after the other, as long as there is something."""
    left = list(lines)
    while left:
        for line in list(left):
            place = next(line, None)
            if place is None:
                left.remove(line)
            else:
                yield place
