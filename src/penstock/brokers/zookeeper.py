"""The broker on ZooKeeper: for low rates and small messages, where an ensemble is there anyway.

A lease is an ephemeral node, so a dead session frees it; the version of the message's node is the
fence: each claim, return and settlement names it and changes it, all in transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from msgspec.structs import replace

from penstock.brokers.base import Capabilities
from penstock.brokers.zookeeper_looking import Shelf, ZooKeeperLooking
from penstock.brokers.zookeeper_nodes import (
    ROOT,
    Held,
    Holder,
    Key,
    Letter,
    Place,
    decode,
    encode,
    named,
    queue_path,
    unnamed,
)
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.engines.memory_bells import ahear
from penstock.engines.processes import Fate, Process
from penstock.engines.zookeeper import Session
from penstock.errors import EncodeError, Unavailable, Uncertain
from penstock.message import Again, Dead, Lease, Message, Settlement
from penstock.plan import Listener
from penstock.url import Url

__all__ = ["ZooKeeperBroker"]

R = TypeVar("R")

_PARTS = ("queues", "keys", "settled", "dead", "revoked", "news", "workers")
_BATCH = 100  # messages in one transaction
_ROOM = 1_000  # bytes of a request that are no message
_PATIENCE = 5.0  # seconds for which a publication is repeated
_LONGEST_WAIT = 30.0  # look again after so long, should anything be lost
_BUCKET = 600.0  # seconds: what was settled is known for one to two of them
_DEAD_KEPT = 30 * 86_400.0
_SWEEP_EVERY = 60.0
_ROUNDED = 0.001  # names tell times in milliseconds, rounded up
_THREADS = 8  # for awaiting callers


class ZooKeeperBroker(ZooKeeperLooking):
    """Custody in an ensemble. Each object has a session of its own; closing it frees its leases."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        durable="what is acknowledged is on the disks of a majority of the ensemble, and outlives "
        "the loss of the others"
    )

    def __init__(self, *, session: Session, clock: Clock = SYSTEM_CLOCK) -> None:
        self.session = session
        self._clock = clock
        self._since = time.monotonic()
        self._heard: int | None = None
        self._known: set[str] = set()  # nodes that are there
        self._enrolment: tuple[str, bytes] | None = None
        self._sweep_at = 0.0
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._threads_of = os.getpid()
        self._lock = threading.Lock()
        self._executor: Executor | None = None

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> ZooKeeperBroker:
        """The broker at ``zookeeper://host1,host2/path``."""
        return cls(session=Session(url), clock=clock)

    def close(self) -> None:
        if self._threads_of != os.getpid():
            self._start_afresh()
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
        self._known.clear()
        self._enrolment = None
        self.session.close()

    def describe(self) -> str:
        return str(self.session.url)

    def _now(self) -> float:
        """What leases are measured by: the ensemble's time."""
        return self.session.time() if self._clock is SYSTEM_CLOCK else self._clock.wall()

    # --- nodes that must be there --------------------------------------------------------

    def _have(self, paths: Iterable[str]) -> None:
        missing = [path for path in paths if path not in self._known]
        self.session.ensure(*missing)
        self._known.update(missing)

    def _have_root(self) -> None:
        self._have(f"{ROOT}/{part}" for part in _PARTS)

    def _have_queues(self, queues: Sequence[str]) -> None:
        self._have_root()
        parts = ("messages", "leases", "later")
        self._have(f"{queue_path(queue)}/{part}" for queue in set(queues) for part in parts)

    def _bucket(self) -> str:
        path = f"{ROOT}/settled/{int(self._now() / _BUCKET)}"
        self._have([path])
        return path

    # --- publishing ----------------------------------------------------------------------

    def publish(self, messages: Sequence[Message]) -> None:
        changes = [(message, self._fitting(message)) for message in messages]
        stored: list[str] = []
        for part in _batches(changes, self.session.largest):
            self._store(part, stored)
            stored += [message.id for message, _ in part]

    def _fitting(self, message: Message) -> list[tuple[Any, ...]]:
        change = self._publication(message)
        size, limit = len(change[-1][2]), self.session.largest - _ROOM
        if size > limit:
            raise EncodeError(
                f"message {message.id} takes {size} bytes, more than ZooKeeper's limit of {limit}: "
                "store it elsewhere and send a reference to it; or raise jute.maxbuffer on every "
                "server, and say so in the URL: ?max_message=BYTES"
            )
        return change

    def _store(
        self, part: Sequence[tuple[Message, list[tuple[Any, ...]]]], stored: Sequence[str]
    ) -> None:
        """Repeated while the connection is lost: a key is stored once."""
        deadline = time.monotonic() + _PATIENCE
        began = False
        while True:
            try:
                self._have_queues([message.queue for message, _ in part])
                began = True
                self._store_once([change for _, change in part])
            except (Unavailable, Uncertain) as error:
                if time.monotonic() < deadline and began:
                    continue
                if began or stored:
                    raise Uncertain(str(error), stored=tuple(stored)) from error
                raise
            else:
                return

    def _store_once(self, changes: list[list[tuple[Any, ...]]]) -> None:
        whole = [step for change in changes for step in change]
        if self.session.change([whole]) == [None]:
            return
        from kazoo import exceptions

        for wrong in self.session.change(changes):  # some of the keys are known
            if isinstance(wrong, exceptions.NoNodeError):
                self._known.clear()
                raise Unavailable(f"{self.session.url}: a queue was removed meanwhile")
            if wrong is not None and not isinstance(wrong, exceptions.NodeExistsError):
                raise Unavailable(f"{self.session.url} refuses a message: {wrong!r}") from wrong

    # --- claiming ------------------------------------------------------------------------

    def lease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        leases, _ = self._claim(queues, limit, ttl)
        if leases or wait <= 0 or limit <= 0 or not queues:
            return leases
        deadline = self._clock.monotonic() + wait
        listener = self.listen(queues)
        try:
            while True:
                leases, due = self._claim(queues, limit, ttl)
                left = deadline - self._clock.monotonic()
                if leases or left <= 0:
                    return leases
                listener.wait(min(left, _LONGEST_WAIT if due is None else due))
        finally:
            listener.close()

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

    def _holders(self, shelves: Sequence[Shelf]) -> list[tuple[Place, Holder, int]]:
        """Who works on what, with the version of the lease's node."""
        places = [Place(shelf.queue, name) for shelf in shelves for name in shelf.leases]
        found = self._data([place.lease for place in places])
        return [
            (place, decode(one[0], Holder), one[1].version)
            for place, one in zip(places, found, strict=True)
            if one is not None
        ]

    def _ended(self, shelves: Sequence[Shelf]) -> dict[Place, int]:
        """Leases that ran out, or whose holder is surely dead, by the version of their node."""
        now, found = self._now(), self._holders(shelves)
        self._next_end = min((holder.until - now for _, holder, _ in found), default=None)
        mine = Process.this(self._clock)
        return {
            place: version
            for place, holder, version in found
            if holder.until <= now
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
        for place, found in zip(places, self._read(places), strict=True):
            if found is None:
                continue
            held, version = found
            deaths = held.deaths + (1 if held.leased else 0)
            held = replace(held, attempt=held.attempt + 1, deaths=deaths, leased=True)
            change: list[tuple[Any, ...]] = []
            if place in ended:
                change.append(("delete", place.lease, ended[place]))
            key = encode(Key(place.queue, place.name))
            change += [
                ("set_data", place.message, encode(held), version),
                ("create", place.lease, data, None, True),
                ("set_data", f"{ROOT}/keys/{named(held.key)}", key),
            ]
            if place.name in later[place.queue]:
                change.append(("delete", place.later(later[place.queue][place.name])))
            changes.append(change)
            mark = revoked.get(held.id, 0.0) > wall
            leases.append(held.lease(place.queue, until, version + 1, revoked=mark))
        outcomes = self.session.change(changes)
        return [lease for lease, wrong in zip(leases, outcomes, strict=True) if wrong is None]

    def _revoked(self) -> dict[str, float]:
        (names,) = self._children(f"{ROOT}/revoked")
        ends: dict[str, float] = {}
        for name in names:
            quoted, _, end = name.rpartition("~")
            task_id = unnamed(quoted)
            ends[task_id] = max(ends.get(task_id, 0.0), int(end) / 1000)
        return ends

    # --- extending and settling ----------------------------------------------------------

    def _places(self, leases: Sequence[Lease]) -> list[tuple[Place, Key] | None]:
        """Where leased messages are, as their keys tell."""
        found = self._data([f"{ROOT}/keys/{named(lease.message.key)}" for lease in leases])
        keys = [None if one is None else decode(one[0], Key) for one in found]
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
            change.append(("create", f"{ROOT}/dead/{name}", encode(letter)))
        return change

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

    # --- upkeep --------------------------------------------------------------------------

    def tend(self) -> float | None:
        self._have_root()
        shelves = self._shelves(self._queue_names())
        ended = self._ended(shelves)
        if ended:
            self._free(ended)
        if self._enrolment is not None:
            self._enrol_anew(*self._enrolment)
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_EVERY
            self._sweep()
        return self._due(shelves, ended)

    def _free(self, ended: dict[Place, int]) -> None:
        places = list(ended)
        changes = [
            [
                (
                    "set_data",
                    place.message,
                    encode(replace(found[0], deaths=found[0].deaths + 1, leased=False)),
                    found[1],
                ),
                ("delete", place.lease, ended[place]),
            ]
            for place, found in zip(places, self._read(places), strict=True)
            if found is not None
        ]
        self.session.change(changes)

    def _name_taken(self, name: str, data: bytes) -> None:
        self._enrolment = (f"{ROOT}/workers/{named(name)}", data)

    def _enrol_anew(self, path: str, data: bytes) -> None:
        """Our node went with a session that was lost for longer than its time-out."""
        self.session.change([[("create", path, data, None, True)]])

    def _sweep(self) -> None:
        """Forget what nobody needs any more."""
        oldest = int(self._now() / _BUCKET) - 1
        (buckets,) = self._children(f"{ROOT}/settled")
        for bucket in (name for name in buckets if int(name) < oldest):
            path = f"{ROOT}/settled/{bucket}"
            (names,) = self._children(path)
            changes = [
                [("delete", f"{path}/{name}"), ("delete", f"{ROOT}/keys/{name}")] for name in names
            ]
            self.session.change([*changes, [("delete", path)]])
        wall = self._clock.wall()
        (names,) = self._children(f"{ROOT}/revoked")
        over = [name for name in names if int(name.rpartition("~")[2]) / 1000 <= wall]
        self.session.change([[("delete", f"{ROOT}/revoked/{name}")] for name in over])
        old = [x.message.key for x in self.dead(None, 1_000_000) if x.dead_at < wall - _DEAD_KEPT]
        self.drop(old)
        self._sweep_news()

    # --- hearing -------------------------------------------------------------------------

    def listen(self, queues: Sequence[str]) -> Listener:
        self._have_queues(queues)
        parts = ("messages", "leases")
        paths = [f"{queue_path(queue)}/{part}" for queue in dict.fromkeys(queues) for part in parts]
        return self.session.listen((*paths, f"{ROOT}/news"))

    # --- the same, awaiting --------------------------------------------------------------

    def _on_a_thread(self, call: Callable[[], R]) -> Future[R]:
        if self._threads_of != os.getpid():  # threads do not come along to a forked child
            self._start_afresh()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(
                    _THREADS, thread_name_prefix="penstock-zookeeper"
                )
            return self._executor.submit(call)

    async def apublish(self, messages: Sequence[Message]) -> None:
        await asyncio.wrap_future(self._on_a_thread(lambda: self.publish(messages)))

    async def aextend(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        return await asyncio.wrap_future(self._on_a_thread(lambda: self.extend(leases, ttl)))

    async def asettle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        return await asyncio.wrap_future(self._on_a_thread(lambda: self.settle(settlements)))

    async def alease(
        self, queues: Sequence[str], limit: int, ttl: float, wait: float = 0.0
    ) -> list[Lease]:
        leases, _ = await self._aclaim(queues, limit, ttl)
        if leases or wait <= 0 or limit <= 0 or not queues:
            return leases
        deadline = self._clock.monotonic() + wait
        listening = self._on_a_thread(lambda: self.listen(queues))
        try:
            listener = await asyncio.wrap_future(listening)
        except asyncio.CancelledError:
            listening.add_done_callback(_close_late)
            raise
        try:
            while True:
                leases, due = await self._aclaim(queues, limit, ttl)
                left = deadline - self._clock.monotonic()
                if leases or left <= 0:
                    return leases
                await ahear(listener, min(left, _LONGEST_WAIT if due is None else due))
        finally:
            listener.close()

    async def _aclaim(
        self, queues: Sequence[str], limit: int, ttl: float
    ) -> tuple[list[Lease], float | None]:
        claiming = self._on_a_thread(lambda: self._claim(queues, limit, ttl))
        try:
            return await asyncio.wrap_future(claiming)
        except asyncio.CancelledError:  # what it claims, or has claimed, nobody would work on
            claiming.add_done_callback(self._hand_back_late)
            raise

    def _hand_back_late(self, claiming: Future[tuple[list[Lease], float | None]]) -> None:
        if claiming.cancelled() or claiming.exception() is not None:
            return
        leases, _ = claiming.result()
        if leases:
            with contextlib.suppress(Unavailable, Uncertain):  # then they run out
                self.settle([Again(lease, lease.message) for lease in leases])

    def __repr__(self) -> str:
        return f"ZooKeeperBroker({str(self.session.url)!r})"


def _close_late(listening: Future[Listener]) -> None:
    if not listening.cancelled() and listening.exception() is None:
        listening.result().close()


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


def _batches(
    changes: Sequence[tuple[Message, list[tuple[Any, ...]]]], largest: int
) -> Iterator[list[tuple[Message, list[tuple[Any, ...]]]]]:
    """Parts that fit into one request each."""
    part: list[tuple[Message, list[tuple[Any, ...]]]] = []
    size = 0
    for change in changes:
        length = len(change[1][-1][2]) + _ROOM
        if part and (len(part) == _BATCH or size + length > largest):
            yield part
            part, size = [], 0
        part.append(change)
        size += length
    if part:
        yield part
