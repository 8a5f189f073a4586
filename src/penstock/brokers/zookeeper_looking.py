"""Looking into a ZooKeeper broker: queues, what waits in them, dead letters, who is there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.brokers.base import Broker, QueueState, WorkerEntry
from penstock.brokers.zookeeper_nodes import (
    ROOT,
    Held,
    Key,
    Letter,
    Place,
    Worker,
    as_letter,
    encode,
    marked,
    named,
    prefix_of,
    queue_path,
    read_or_none,
    split,
    unnamed,
)
from penstock.clock import Clock
from penstock.engines.processes import Fate, Process, hold_as
from penstock.engines.zookeeper import Session
from penstock.errors import NameTaken, Unavailable
from penstock.message import DeadLetter, Message, new_id

__all__ = ["Shelf", "ZooKeeperLooking"]

_NEWS_KEPT = 1_000
_TRIES = 5


class Shelf(msgspec.Struct):
    """The names of one queue's nodes, at one look."""

    queue: str
    messages: list[str]  # in the order in which they are served
    leases: set[str]
    later: dict[str, float]  # wall time until which one that was handed back waits

    def ready_at(self, name: str) -> float:
        """Wall time from which it may run."""
        return self.later.get(name, split(name)[1])

    def free(self) -> list[str]:
        """Those without a lease."""
        return [name for name in self.messages if name not in self.leases]


class ZooKeeperLooking(Broker):
    """The half of the broker that people and dashboards use."""

    session: Session
    _clock: Clock
    _since: float  # monotonic time from which announcements are for this object
    _heard: int | None  # the number of the last one

    # --- names ---------------------------------------------------------------------------

    def _children(self, *paths: str) -> list[list[str]]:
        """The names under each of these nodes; none where there is no node."""
        calls = [lambda client, path=path: client.get_children_async(path) for path in paths]
        return [found or [] for found in self.session.ask(calls)]

    def _data(self, paths: Sequence[str]) -> list[tuple[bytes, Any] | None]:
        """Data and state of each node."""
        return self.session.ask(
            [lambda client, path=path: client.get_async(path) for path in paths]  # type: ignore[misc]
        )

    def _shelves(self, queues: Sequence[str]) -> list[Shelf]:
        parts = ("messages", "leases", "later")
        found = self._children(*(f"{queue_path(q)}/{part}" for q in queues for part in parts))
        return [
            _shelf(queue, *found[3 * place : 3 * place + 3]) for place, queue in enumerate(queues)
        ]

    def _queue_names(self) -> list[str]:
        return sorted(map(unnamed, self._children(f"{ROOT}/queues")[0]))

    def _read(self, places: Sequence[Place]) -> list[tuple[Held, int] | None]:
        """What each place holds, and its version; None where no message is."""
        return [
            None if held is None else (held, version) for held, version, _ in self._read_all(places)
        ]

    def _read_all(self, places: Sequence[Place]) -> list[tuple[Held | None, int, bytes | None]]:
        """Message, version and data of each: the last alone where somebody else wrote it."""
        return [
            (None, 0, None)
            if found is None
            else (read_or_none(found[0], Held), found[1].version, found[0])
            for found in self._data([place.message for place in places])
        ]

    # --- counting ------------------------------------------------------------------------

    def queues(self) -> list[QueueState]:
        now = self._clock.wall()
        letters = [letter.message.queue for letter in self.dead(None, 1_000_000)]
        found = [self._state(shelf, letters, now) for shelf in self._shelves(self._queue_names())]
        return [state for state in found if state != QueueState(state.name)]

    def _state(self, shelf: Shelf, letters: Sequence[str], now: float) -> QueueState:
        free = shelf.free()
        ready = [name for name in free if shelf.ready_at(name) <= now]
        return QueueState(
            name=shelf.queue,
            ready=len(ready),
            delayed=len(free) - len(ready),
            leased=len(shelf.leases.intersection(shelf.messages)),
            dead=letters.count(shelf.queue),
            oldest=self._oldest(shelf.queue, ready, now),
        )

    def _oldest(self, queue: str, ready: Sequence[str], now: float) -> float | None:
        """By the first that came: of those with one rank it is the oldest."""
        if not ready:
            return None
        first = min(ready, key=lambda name: split(name)[2])
        (found,) = self._read([Place(queue, first)])
        return None if found is None else max(0.0, now - found[0].since)

    def depth(self, queue: str) -> int:
        (shelf,) = self._shelves([queue])
        return len(shelf.free())

    # --- messages ------------------------------------------------------------------------

    def peek(self, queue: str, limit: int = 10) -> list[Message]:
        (shelf,) = self._shelves([queue])
        now = self._clock.wall()
        free = shelf.free()
        ready = [name for name in free if shelf.ready_at(name) <= now]
        early = sorted(set(free) - set(ready), key=shelf.ready_at)
        places = [Place(queue, name) for name in (ready + early)[:limit]]
        return [found[0].message(queue) for found in self._read(places) if found is not None]

    def purge(self, queue: str) -> int:
        (shelf,) = self._shelves([queue])
        return self._drop_messages(shelf, None)

    def remove(self, ids: Sequence[str]) -> int:
        wanted = frozenset(ids)
        shelves = self._shelves(self._queue_names())
        return sum(self._drop_messages(shelf, wanted) for shelf in shelves)

    def _drop_messages(self, shelf: Shelf, wanted: frozenset[str] | None) -> int:
        places = [Place(shelf.queue, name) for name in shelf.free()]
        changes = []
        for place, found in zip(places, self._read(places), strict=True):
            if found is None or (wanted is not None and found[0].id not in wanted):
                continue
            held, version = found
            change = [
                ("delete", place.message, version),
                ("delete", f"{ROOT}/keys/{named(held.key)}"),
            ]
            if place.name in shelf.later:
                change.append(("delete", place.later(shelf.later[place.name])))
            changes.append(change)
        return self.session.change(changes).count(None)

    # --- dead letters --------------------------------------------------------------------

    def dead(self, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        (names,) = self._children(f"{ROOT}/dead")
        found = zip(names, self._data([f"{ROOT}/dead/{name}" for name in names]), strict=True)
        # In the order in which the ensemble took them: by time two may be one.
        there = sorted(
            ((name, *one) for name, one in found if one is not None), key=lambda one: -one[2].czxid
        )
        letters = [_letter(*one) for one in there]
        return [one.letter() for one in letters if queue in {None, one.queue}][:limit]

    def replay(self, keys: Sequence[str]) -> list[Message]:
        paths = [f"{ROOT}/dead/{named(key)}" for key in dict.fromkeys(keys)]
        again = []
        for path, found in zip(paths, self._data(paths), strict=True):
            letter = None if found is None else read_or_none(found[0], Letter)
            if letter is not None:
                message = msgspec.structs.replace(
                    letter.held.message(letter.queue), key=new_id(), ready_at=0.0
                )
                again.append((path, message))
        self._have_queues([message.queue for _, message in again])
        outcomes = self.session.change(
            [[("delete", path), *self._publication(message)] for path, message in again]
        )
        return [message for (_, message), wrong in zip(again, outcomes, strict=True) if not wrong]

    def drop(self, keys: Sequence[str]) -> int:
        changes = [[("delete", f"{ROOT}/dead/{named(key)}")] for key in dict.fromkeys(keys)]
        return self.session.change(changes).count(None)

    # --- publications --------------------------------------------------------------------

    def _have_queues(self, queues: Sequence[str]) -> None:
        raise NotImplementedError

    def _publication(self, message: Message) -> list[tuple[Any, ...]]:
        """The change that makes one; it fails where its key is known."""
        data = encode(Held.of(message, self._clock.wall()))
        path = f"{queue_path(message.queue)}/messages/{prefix_of(message)}"
        known = encode(Key(queue=message.queue))
        return [
            ("create", f"{ROOT}/keys/{named(message.key)}", known),
            ("create", path, data, None, False, True),
        ]

    # --- revoking, announcing, enrolling -------------------------------------------------

    def revoke(self, ids: Sequence[str], ttl: float) -> None:
        end = int((self._clock.wall() + ttl) * 1000)
        self._have_root()
        self.session.change(
            [[("create", f"{ROOT}/revoked/{named(task_id)}~{end}")] for task_id in ids]
        )

    def _have_root(self) -> None:
        raise NotImplementedError

    def announce(self, payload: bytes) -> None:
        self._have_root()
        name = f"{int(self.session.time() * 1e6):017d}-"
        (wrong,) = self.session.change(
            [[("create", f"{ROOT}/news/{name}", payload, None, False, True)]]
        )
        if wrong is not None:
            raise Unavailable(f"{self.session.url}: an announcement was refused: {wrong}")

    def announced(self) -> list[bytes]:
        (names,) = self._children(f"{ROOT}/news")
        numbers, times = _news(names)
        if self._heard is None:
            start = int((self.session.time() - _monotonic() + self._since) * 1e6)
            fresh = [name for name in numbers if times[name] >= start]
        else:
            fresh = [name for name in numbers if numbers[name] > self._heard]
        self._heard = max([self._heard or 0, *numbers.values()]) if numbers else self._heard or -1
        fresh.sort(key=numbers.__getitem__)
        found = self._data([f"{ROOT}/news/{name}" for name in fresh])
        return [one[0] for one in found if one is not None]

    def _sweep_news(self) -> None:
        numbers, _ = _news(self._children(f"{ROOT}/news")[0])
        old = sorted(numbers, key=numbers.__getitem__)[:-_NEWS_KEPT]
        self.session.change([[("delete", f"{ROOT}/news/{name}")] for name in old])

    def enrol(self, name: str, info: Mapping[str, Any]) -> None:
        self._have_root()
        process = Process.this(self._clock)
        worker = Worker(name, process, self._clock.wall(), dict(info))
        path, data = f"{ROOT}/workers/{named(name)}", encode(worker)
        hold_as(self.session.id)
        for _ in range(_TRIES):
            (wrong,) = self.session.change([[("create", path, data, None, True)]])
            if wrong is None or self._is_mine(path, data):
                self._name_taken(name, data)
                return
            if not self._was_dead(path, process):
                break
        raise NameTaken(f"a live worker is called {name} already; choose another name with -n")

    def _name_taken(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    def _is_mine(self, path: str, data: bytes) -> bool:
        """True for this session's own node, which then says what is new."""
        (found,) = self._data([path])
        if found is None or found[1].ephemeralOwner != self.session.id:
            return False
        return self.session.change([[("set_data", path, data)]]) == [None]

    def _was_dead(self, path: str, process: Process) -> bool:
        """Remove the node of a holder that is surely dead: its session lives on for a while."""
        (found,) = self._data([path])
        if found is None:
            return True
        data, state = found
        worker = read_or_none(data, Worker)
        if state.ephemeralOwner and (  # else it is nobody's: somebody else made it
            worker is None or process.fate(worker.process, state.ephemeralOwner) is not Fate.DEAD
        ):
            return False
        self.session.change([[("delete", path, found[1].version)]])
        return True

    def _enrolled(self) -> list[Worker]:
        (names,) = self._children(f"{ROOT}/workers")
        found = self._data([f"{ROOT}/workers/{name}" for name in names])
        workers = [read_or_none(one[0], Worker) for one in found if one is not None]
        return [worker for worker in workers if worker is not None]

    def workers(self) -> list[WorkerEntry]:
        mine = Process.this(self._clock)
        return [
            WorkerEntry(
                name=one.name,
                host=one.process.host,
                pid=one.process.pid,
                since=one.since,
                alive=mine.fate(one.process) is not Fate.DEAD
                if one.process.host == mine.host
                else True,
                info=one.info,
            )
            for one in self._enrolled()
        ]

    def neighbours(self) -> list[int]:
        mine = Process.this(self._clock)
        return [
            one.process.pid
            for one in self._enrolled()
            if one.process.host == mine.host
            and one.process.pid != os.getpid()
            and mine.fate(one.process) is Fate.ALIVE
        ]


def _letter(name: str, data: bytes, state: Any) -> Letter:
    """A dead letter; one that somebody else wrote has its node's name and says so."""
    found: Letter | None = read_or_none(data, Letter)
    if found is not None:
        return found
    key, now = unnamed(name), state.mtime / 1000
    strange = as_letter(data, queue="", name=key, reason="its node holds no dead letter", now=now)
    return msgspec.structs.replace(strange, held=msgspec.structs.replace(strange.held, key=key))


def _news(names: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """The number and the time of each announcement; what somebody else put there is none."""
    numbers, times = {}, {}
    for name in names:
        found = marked(name, "-")
        if found is not None and found[0].isascii() and found[0].isdecimal():
            times[name], numbers[name] = int(found[0]), found[1]
    return numbers, times


def _monotonic() -> float:
    import time

    return time.monotonic()


def _shelf(queue: str, messages: list[str], leases: list[str], later: list[str]) -> Shelf:
    def turn(name: str) -> tuple[int, int]:
        rank, _, number = split(name)
        return rank, number

    waits = {one[0]: one[1] / 1000 for one in (marked(name, "~") for name in later) if one}
    return Shelf(queue, sorted(messages, key=turn), set(leases), waits)
