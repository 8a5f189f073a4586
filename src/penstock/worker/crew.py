"""The supervisor's books: what it holds, which executor has it, and since when.

State only, no I/O and no policy: touched by nobody but the supervisor's loop.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.message import Lease
from penstock.worker.protocol import Nonsense

if TYPE_CHECKING:
    from penstock.wire.task import Header
    from penstock.worker.channel import SupervisorChannel
    from penstock.worker.protocol import TaskPolicy

__all__ = ["Crew", "Phase", "Slot", "Verdict", "Work"]


class Verdict(enum.Enum):
    """Why the supervisor itself ended a run."""

    TIME_LIMIT = "time limit"
    TERMINATED = "terminated"
    CUT_OFF = "cut off by a stop"


@dataclass(slots=True, eq=False)
class Work:
    """One leased message on its way through this worker."""

    tag: int
    lease: Lease
    header: Header
    policy: TaskPolicy
    since: float  # monotonic: when it was claimed, or last changed hands
    settled: bool = False  # acknowledged before the run (acks_late=False)
    alone: bool = False  # runs next with nothing beside it, after a crash among several
    held_until: float = math.inf  # of the boot clock, by what the broker last confirmed
    lost: bool = False  # somebody else holds it now: nothing of it may be written
    begun_at: float | None = None  # monotonic, when the executor said so
    soft_sent: bool = False  # nothing more is to be said of its soft time limit
    soft_signals: int = 0  # how often it was signalled
    verdict: Verdict | None = None
    signal: int = 9  # what its process is ended by, where the verdict is that it is terminated

    @property
    def hard_limit(self) -> float | None:
        """Seconds after which its executor is killed: the message's own, else the task's."""
        limit = self.header.timelimit[0]
        return self.policy.time_limit if limit is None else limit

    @property
    def soft_limit(self) -> float | None:
        """Seconds after which SoftTimeLimitExceeded is raised in it."""
        limit = self.header.timelimit[1]
        return self.policy.soft_time_limit if limit is None else limit


class Phase(enum.Enum):
    """Where an executor is in its life."""

    STARTING = enum.auto()
    READY = enum.auto()
    LEAVING = enum.auto()  # takes no more tasks


@dataclass(slots=True, eq=False)
class Slot:
    """One executor: its process, its channel and what it was handed."""

    index: int
    channel: SupervisorChannel
    capacity: int  # tasks at once
    share: int | None = None  # tasks altogether
    pid: int = 0
    phase: Phase = Phase.STARTING
    held: dict[int, Work] = field(default_factory=dict)  # tag -> handed over, not answered
    progress_at: float = 0.0  # monotonic: last reply, or last task given to an idle one
    handed: int = 0  # tasks that it has got and that were not recalled
    open: bool = True  # its end of the replies
    exclusive: bool = False  # it has a task that runs alone
    given_up: set[int] = field(default_factory=set)  # tags of runs that ended here, but not there
    leave_by: float | None = None  # monotonic: when it is killed, if it is still there

    @property
    def takes_tasks(self) -> bool:
        """True when tasks may be handed to it."""
        return self.phase is Phase.READY and not self.exclusive and self.most(1) > 0

    def most(self, wanted: int) -> int:
        """How many of so many it may hold, by what is left of its share."""
        if self.share is None:
            return wanted
        return min(wanted, len(self.held) + max(0, self.share - self.handed))

    def take(self, work: Work, now: float) -> None:
        """Note that it was handed this."""
        if not self.held:
            self.progress_at = now
        self.held[work.tag] = work
        self.handed += 1
        self.exclusive = work.alone
        work.since = now

    def answered(self, tag: int) -> Work:
        """The work that an answer ends; raises Nonsense."""
        work = self.holding(tag)
        self.exclusive = False
        del self.held[tag]
        return work

    def holding(self, tag: int) -> Work:
        """The work of that tag; raises Nonsense."""
        try:
            return self.held[tag]
        except KeyError:
            raise Nonsense(f"it answered number {tag}, which it does not have") from None


class Crew:
    """All slots, and what waits for one of them."""

    def __init__(self) -> None:
        self.slots: dict[int, Slot] = {}
        self.waiting: deque[Work] = deque()
        self._tags = itertools.count(1)

    def new_tag(self) -> int:
        """A number that no other work of this worker has."""
        return next(self._tags)

    def works(self) -> Iterator[Work]:
        """Everything this worker holds."""
        yield from self.waiting
        for slot in self.slots.values():
            yield from slot.held.values()

    def count(self) -> int:
        """How much this worker holds."""
        return len(self.waiting) + sum(len(slot.held) for slot in self.slots.values())

    def take(self, works: list[Work]) -> list[Work]:
        """Remove works from what waits; gives them."""
        for work in works:
            self.waiting.remove(work)
        return works

    def recall(self, slot: Slot, now: float) -> list[Work]:
        """Take back what the executor has not begun, to the front of what waits."""
        back = [slot.answered(tag) for tag in slot.channel.recall()]
        slot.handed -= len(back)
        for work in back:
            work.since = now
        self.waiting.extendleft(reversed(back))
        return back

    def returned(self, slot: Slot, tag: int, now: float) -> Work:
        """Take back what the executor would not begin, to the front of what waits."""
        work = slot.answered(tag)
        slot.handed -= 1
        work.since = now
        self.waiting.appendleft(work)
        return work

    def __repr__(self) -> str:
        held = {slot.index: len(slot.held) for slot in self.slots.values()}
        return f"Crew(waiting={len(self.waiting)}, held={held})"
