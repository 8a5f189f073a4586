"""The broker on ZooKeeper: for low rates and small messages, where an ensemble is there anyway.

A lease is an ephemeral node, so a dead session frees it; the version of the message's node is the
fence: each claim, return and settlement names it and changes it, all in transactions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from penstock.brokers.base import Capabilities
from penstock.brokers.zookeeper_awaiting import LONGEST_WAIT, ZooKeeperAwaiting
from penstock.brokers.zookeeper_endings import ZooKeeperEndings
from penstock.brokers.zookeeper_nodes import (
    ROOT,
    Place,
    encode,
    marked,
    named,
    queue_path,
)
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.crashpoints import reach
from penstock.engines.processes import hold_as
from penstock.engines.zookeeper import Session
from penstock.errors import EncodeError, Unavailable, Uncertain
from penstock.message import Lease, Message
from penstock.plan import Listener
from penstock.url import Url

__all__ = ["ZooKeeperBroker"]

_PARTS = ("queues", "keys", "settled", "dead", "revoked", "news", "workers")
_BATCH = 100  # messages in one transaction
_ROOM = 1_000  # bytes of a request that are no message
_SMALL = 64 * 1024  # bytes that every server takes
_PATIENCE = 5.0  # seconds for which a publication is repeated
_BUCKET = 600.0  # seconds: what was settled is known for one to two of them
_DEAD_KEPT = 30 * 86_400.0
_SWEEP_EVERY = 60.0


class ZooKeeperBroker(ZooKeeperEndings, ZooKeeperAwaiting):
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
        super().__init__()

    @classmethod
    def from_url(cls, url: Url, *, clock: Clock = SYSTEM_CLOCK) -> ZooKeeperBroker:
        """The broker at ``zookeeper://host1,host2/path``."""
        return cls(session=Session(url), clock=clock)

    def close(self) -> None:
        self._close_threads()
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
        reach("publish.asked")
        for part in _batches(changes, self.session.largest):
            self._store(part, stored)
            stored += [message.id for message, _ in part]
        reach("publish.done")

    @property
    def _largest(self) -> int:
        return self.session.largest - _ROOM

    def _fitting(self, message: Message) -> list[tuple[Any, ...]]:
        change = self._publication(message)
        size, limit = len(change[-1][2]), self._largest
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
                    raise Uncertain(f"{error}{_hint(part)}", stored=tuple(stored)) from error
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
                listener.wait(min(left, LONGEST_WAIT if due is None else due))
        finally:
            listener.close()

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
            if found is not None  # a lease of nothing is left alone: nobody waits for it
        ]
        self.session.change(changes)

    def _name_taken(self, name: str, data: bytes) -> None:
        self._enrolment = (f"{ROOT}/workers/{named(name)}", data)

    def _enrol_anew(self, path: str, data: bytes) -> None:
        """Our node went with a session that was lost for longer than its time-out."""
        hold_as(self.session.id)
        self.session.change([[("create", path, data, None, True)]])

    def _sweep(self) -> None:
        """Forget what nobody needs any more."""
        oldest = int(self._now() / _BUCKET) - 1
        (buckets,) = self._children(f"{ROOT}/settled")
        for bucket in (name for name in buckets if name.isdecimal() and int(name) < oldest):
            path = f"{ROOT}/settled/{bucket}"
            (names,) = self._children(path)
            changes = [
                [("delete", f"{path}/{name}"), ("delete", f"{ROOT}/keys/{name}")] for name in names
            ]
            self.session.change([*changes, [("delete", path)]])
        wall = self._clock.wall()
        (names,) = self._children(f"{ROOT}/revoked")
        over = [name for name in names if (end := marked(name, "~")) and end[1] / 1000 <= wall]
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

    def __repr__(self) -> str:
        return f"ZooKeeperBroker({str(self.session.url)!r})"


def _hint(part: Sequence[tuple[Message, list[tuple[Any, ...]]]]) -> str:
    """What may be the cause: a server says nothing of it, it closes the connection."""
    size = sum(len(change[-1][2]) for _, change in part)
    if size < _SMALL:
        return ""
    return (
        f"; the request had {size} bytes: if that is more than jute.maxbuffer of the servers, say "
        "how much they take in the URL (?max_message=BYTES)"
    )


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
