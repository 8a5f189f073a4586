"""Messages in memory: what waits, what is delayed, what is leased and by which fence.

Plain data and its rules; whoever calls holds the lock and reads the clocks. A call checks first
and changes afterwards, so that one that raises has changed nothing.

::

    publish ──► delayed ──due──► ready ──claim──► leased ──settle──► gone, or a dead letter
                   ▲               ▲                │ │
                   └── again, at ──┼── again ───────┘ │
                                   └── lease ended ───┘ (deaths + 1)
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from msgspec.structs import replace

from penstock.engines.fading import Fading
from penstock.message import Again, Dead, DeadLetter, Done, Lease, Message, Settlement

__all__ = ["Counts", "Ending", "Holdings", "work_bell"]

Ending = Literal["settled", "repeated", "lost"]  # only the first changed anything

_SETTLED_KEPT = 600.0  # seconds: longer than anybody tries a publication or settlement again
_SETTLED_LIMIT = 200_000  # and so many at most, which is seconds under the highest load
_DEAD_KEPT = 30 * 86_400.0
_CLAIMS_KEPT = 1_024


def work_bell(queue: str) -> str:
    """The bell that rings when something may be had from a queue."""
    return f"work:{queue}"


class _Holding:
    """One publication. ``number`` is its place in the order of arrival, for as long as it lives."""

    __slots__ = (
        "attempt",
        "deaths",
        "fence",
        "message",
        "number",
        "rank",
        "returned",
        "since",
        "until",
    )

    def __init__(self, message: Message, number: int, since: float) -> None:
        self.message = message
        self.rank = (-message.priority, number)  # who is leased first: smaller before larger
        self.number = number
        self.since = since  # wall time from which it could run
        self.attempt = 0
        self.deaths = 0
        self.fence = 0  # of the current lease, 0 without one
        self.returned = 0  # the fence that handed it back last
        self.until = math.inf

    def lease(self, *, revoked: bool) -> Lease:
        return Lease(self.message, self.attempt, self.until, self.fence, self.deaths, revoked)


class Counts:
    """How many of one queue stand where, and since when (wall time) the oldest could run."""

    __slots__ = ("dead", "delayed", "leased", "oldest", "ready")

    def __init__(self) -> None:
        self.ready = self.delayed = self.leased = self.dead = 0
        self.oldest: float | None = None


class _Line:
    """What waits in one queue, best first: higher priority, then earlier arrival."""

    __slots__ = ("_ready",)

    def __init__(self) -> None:
        self._ready: list[tuple[tuple[int, int], _Holding]] = []  # a heap by rank

    def push(self, holding: _Holding) -> None:
        heapq.heappush(self._ready, (holding.rank, holding))

    def pop(self) -> _Holding:
        return heapq.heappop(self._ready)[1]

    def first(self, limit: int) -> list[Message]:
        return [holding.message for _, holding in heapq.nsmallest(limit, self._ready)]

    def oldest(self) -> float | None:
        return min((holding.since for _, holding in self._ready), default=None)

    def cut(self, goes: Callable[[_Holding], bool]) -> None:
        self._ready = [entry for entry in self._ready if not goes(entry[1])]
        heapq.heapify(self._ready)

    def __len__(self) -> int:
        return len(self._ready)


class Holdings:
    """Custody of messages: the whole of a broker's rules, without locks, clocks or waiting."""

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring
        self._numbers = itertools.count(1)
        self._fences = itertools.count(1)
        self._lines: dict[str, _Line] = {}
        self._known: dict[str, _Holding] = {}  # by key: everything that is not settled
        self._delayed: list[tuple[float, int, _Holding]] = []  # a heap by time
        self._leased: dict[str, _Holding] = {}
        self._first_end = math.inf  # no lease ends before this; some may have been settled since
        self._settled: Fading[int] = Fading(_SETTLED_LIMIT)  # key -> the fence that settled it
        self._dead: Fading[DeadLetter] = Fading()
        self._claims: OrderedDict[str, list[tuple[str, int]]] = OrderedDict()
        self._revoked: Fading[bool] = Fading()

    # --- arriving --------------------------------------------------------------------------

    def publish(self, messages: Sequence[Message], wall: float, boot: float) -> None:
        """Take messages in; those whose key was seen before are here already, or settled."""
        fresh = {
            message.key: _Holding(message, next(self._numbers), max(wall, message.ready_at))
            for message in messages
            if message.key not in self._known and self._settled.get(message.key, boot) is None
        }
        self._known |= fresh
        for holding in fresh.values():
            self._place(holding, wall)

    def _place(self, holding: _Holding, wall: float) -> None:
        ready_at = holding.message.ready_at
        if ready_at > wall:
            heapq.heappush(self._delayed, (ready_at, holding.number, holding))
        else:
            self._queue(holding)

    def _queue(self, holding: _Holding) -> None:
        queue = holding.message.queue
        line = self._lines.get(queue)
        if line is None:
            line = self._lines[queue] = _Line()
        line.push(holding)
        self._ring(work_bell(queue))

    # --- time ------------------------------------------------------------------------------

    def refresh(self, wall: float, boot: float) -> None:
        """Bring what is due where it belongs: delays that are over, leases that have ended."""
        while self._delayed and self._delayed[0][0] <= wall:
            self._queue(heapq.heappop(self._delayed)[2])
        if self._first_end <= boot:
            for holding in [h for h in self._leased.values() if h.until <= boot]:
                holding.deaths += 1
                self._give_back(holding, wall)
            self._first_end = min((h.until for h in self._leased.values()), default=math.inf)

    def _give_back(self, holding: _Holding, wall: float) -> None:
        del self._leased[holding.message.key]
        holding.fence = 0
        holding.until = math.inf
        self._place(holding, wall)

    def sweep(self, boot: float) -> None:
        """Drop what nobody needs any more."""
        self._settled.sweep(boot)
        self._dead.sweep(boot)
        self._revoked.sweep(boot)
        for name in [name for name, line in self._lines.items() if not line]:
            del self._lines[name]

    def next_due(self, wall: float, boot: float) -> float | None:
        """Seconds until a delay or a lease ends, None when there is neither."""
        delay = self._delayed[0][0] - wall if self._delayed else math.inf
        end = min((h.until for h in self._leased.values()), default=math.inf) - boot
        soonest = min(delay, end)
        return None if soonest == math.inf else max(0.0, soonest)

    # --- leasing ---------------------------------------------------------------------------

    def claim(
        self, queues: Sequence[str], limit: int, ttl: float, boot: float, token: str
    ) -> list[Lease]:
        """Lease up to ``limit``, one from each queue in turn; a token seen before gets the same."""
        if again := self._claimed(token, boot):
            return again
        leases = [self._take(line, boot + ttl, boot) for line in self._in_turn(queues, limit)]
        if leases:
            self._first_end = min(self._first_end, boot + ttl)
            self._claims[token] = [(lease.message.key, lease.fence) for lease in leases]
            if len(self._claims) > _CLAIMS_KEPT:
                self._claims.popitem(last=False)
        return leases

    def _in_turn(self, queues: Sequence[str], limit: int) -> Iterable[_Line]:
        """The lines to take one from, in order, as long as there is something to take."""
        lines = [line for name in dict.fromkeys(queues) if (line := self._lines.get(name))]
        while lines and limit > 0:
            for line in lines[:limit]:
                yield line
            limit -= len(lines)
            lines = [line for line in lines if line]

    def _take(self, line: _Line, until: float, boot: float) -> Lease:
        holding = line.pop()
        holding.attempt += 1
        holding.fence = next(self._fences)
        holding.until = until
        self._leased[holding.message.key] = holding
        return self._as_lease(holding, boot)

    def _as_lease(self, holding: _Holding, boot: float) -> Lease:
        return holding.lease(revoked=self._revoked.get(holding.message.id, boot) is not None)

    def _claimed(self, token: str, boot: float) -> list[Lease]:
        return [
            self._as_lease(holding, boot)
            for key, fence in self._claims.get(token, ())
            if (holding := self._leased.get(key)) is not None and holding.fence == fence
        ]

    def extend(self, leases: Iterable[Lease], ttl: float, boot: float) -> list[Lease]:
        """Renew those that are still held; gives them, renewed."""
        held = [lease for lease in leases if self._held(lease) is not None]
        for lease in held:
            self._leased[lease.message.key].until = boot + ttl
        if held:
            self._first_end = min(self._first_end, boot + ttl)
        return [replace(lease, until=boot + ttl) for lease in held]

    def _held(self, lease: Lease) -> _Holding | None:
        holding = self._leased.get(lease.message.key)
        return holding if holding is not None and holding.fence == lease.fence else None

    # --- ending ----------------------------------------------------------------------------

    def settle(self, settlement: Settlement, wall: float, boot: float) -> Ending:
        """End a lease, if it is still held or if this very fence has not ended it before."""
        holding = self._held(settlement.lease)
        if holding is None:
            return "repeated" if self._was_settled_so(settlement, boot) else "lost"
        match settlement:
            case Again(message=message) if message.key == holding.message.key:
                self._hand_back(holding, settlement, wall)
            case Again(message=message):
                self._end(holding, boot)
                self.publish([_from(message, settlement.at)], wall, boot)
            case Dead(reason=reason):
                self._end(holding, boot)
                letter = DeadLetter(holding.message, reason, holding.attempt, wall)
                self._dead.set(holding.message.key, letter, boot + _DEAD_KEPT, boot)
            case Done():
                self._end(holding, boot)
        return "settled"

    def _was_settled_so(self, settlement: Settlement, boot: float) -> bool:
        key, fence = settlement.lease.message.key, settlement.lease.fence
        if self._settled.get(key, boot) == fence:
            return True
        handed_back = isinstance(settlement, Again) and settlement.message.key == key
        return handed_back and key in self._known and self._known[key].returned == fence

    def _hand_back(self, holding: _Holding, settlement: Again, wall: float) -> None:
        holding.message = _from(settlement.message, settlement.at)
        holding.rank = (-holding.message.priority, holding.number)
        holding.returned = holding.fence
        holding.since = max(holding.since, holding.message.ready_at)
        self._give_back(holding, wall)

    def _end(self, holding: _Holding, boot: float) -> None:
        key = holding.message.key
        del self._leased[key], self._known[key]
        self._settled.set(key, holding.fence, boot + _SETTLED_KEPT, boot)

    # --- looking, and dropping ---------------------------------------------------------------

    def counts(self, boot: float) -> dict[str, Counts]:
        """How every queue stands that holds anything."""
        found: dict[str, Counts] = {}
        for name, line in self._lines.items():
            if line:
                counts = found.setdefault(name, Counts())
                counts.ready, counts.oldest = len(line), line.oldest()
        for *_, holding in self._delayed:
            found.setdefault(holding.message.queue, Counts()).delayed += 1
        for holding in self._leased.values():
            found.setdefault(holding.message.queue, Counts()).leased += 1
        for letter in self._dead.values(boot):
            found.setdefault(letter.message.queue, Counts()).dead += 1
        return found

    def depth(self, queue: str) -> int:
        """How many of a queue are not leased."""
        delayed = sum(holding.message.queue == queue for *_, holding in self._delayed)
        return delayed + len(self._lines.get(queue, ()))

    def peek(self, queue: str, limit: int) -> list[Message]:
        """The next messages: first what is ready, then what is delayed."""
        line = self._lines.get(queue)
        ready = line.first(limit) if line else []
        mine = (entry for entry in self._delayed if entry[2].message.queue == queue)
        later = heapq.nsmallest(limit - len(ready), mine)
        return ready + [holding.message for *_, holding in later]

    def discard(self, goes: Callable[[Message], bool]) -> int:
        """Drop the messages that are not leased and for which ``goes`` is true; gives how many."""
        keys = {
            key for key, h in self._known.items() if key not in self._leased and goes(h.message)
        }
        for line in self._lines.values():
            line.cut(lambda holding: holding.message.key in keys)
        self._delayed = [entry for entry in self._delayed if entry[2].message.key not in keys]
        heapq.heapify(self._delayed)
        for key in keys:
            del self._known[key]
        return len(keys)

    # --- dead letters, revoked ids -----------------------------------------------------------

    def dead(self, queue: str | None, limit: int, boot: float) -> list[DeadLetter]:
        """Dead letters, the newest first."""
        letters = self._dead.values(boot)
        mine = (letter for letter in letters if queue in (None, letter.message.queue))
        return list(itertools.islice(mine, limit))

    def replay(self, fresh_keys: dict[str, str], wall: float, boot: float) -> list[Message]:
        """Publish dead letters again under fresh keys; repeated, it gives the same messages."""
        messages = []
        for key, fresh in fresh_keys.items():
            letter = self._dead.pop(key, boot)
            if letter is not None:
                self.publish([replace(letter.message, key=fresh, ready_at=0.0)], wall, boot)
            if fresh in self._known:
                messages.append(self._known[fresh].message)
        return messages

    def drop(self, keys: Iterable[str], boot: float) -> int:
        """Forget dead letters; gives how many."""
        return sum(self._dead.pop(key, boot) is not None for key in keys)

    def revoke(self, ids: Iterable[str], ttl: float, boot: float) -> None:
        """Have these ids leased with the mark that they were revoked, for ``ttl`` seconds."""
        for task_id in ids:
            self._revoked.set(task_id, True, boot + ttl, boot)

    def __repr__(self) -> str:
        return f"Holdings({len(self._known)} held, {len(self._leased)} leased)"


def _from(message: Message, at: float) -> Message:
    """The message as it may run from ``at``, if that is later than what it says itself."""
    return replace(message, ready_at=at) if at > message.ready_at else message
