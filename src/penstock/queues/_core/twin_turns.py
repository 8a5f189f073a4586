"""How an item gets in or out of a queue of the Python twin, at once or in a waiter's turn.

Every change is made inside the queue's section. Comparisons and predicates run outside of it, and
what they were about is looked at again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from penstock.errors import QueueError, ShutDown
from penstock.queues._core.twin_forks import watch
from penstock.queues._core.twin_lines import Line, Lines, State, Waiter
from penstock.queues._core.twin_section import Interrupting, Section
from penstock.queues._core.twin_store import Gone, Stale

__all__ = ["NOTHING", "SHUT_DOWN", "Turns"]

NOTHING: Final[Any] = object()  # where an item would be
SHUT_DOWN = "the queue is shut down"
_MOST_ATTEMPTS = 100

R = TypeVar("R")
Match = Callable[[Any], object]


class Turns:
    """The items and the waiters of one queue."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.lines = Lines(order)
        self.section = Section()
        watch(self)

    # --- in

    def add(self, item: Any, called: Waiter | None = None) -> bool:
        """Put it in, on a called waiter's promise if there is one. False: no room, or shut down."""
        try:
            return self._planned(lambda: self._add(item, called))
        except Interrupting:
            self.section.later(lambda: self._add_late(item))
            return not self.lines.closed

    def _add(self, item: Any, called: Waiter | None) -> bool:
        if not self.lines.may_put(called):
            return False
        plan = self.lines.store.plan_put(item)
        with self.section:
            if not self.lines.may_put(called):
                return False
            self.lines.add(plan, item)
            self.lines.redeem(called)
            self.settle()
        return True

    def _add_late(self, item: Any) -> None:
        with self.section:
            if not self.lines.closed:
                self.lines.add_in_excess(item)
                self.settle()

    def add_for(self, waiter: Waiter, item: Any) -> bool:
        """In the waiter's turn; false: it must wait to be woken, and ask again."""
        while (state := self._stand(waiter, self.lines.putters)) is State.CALLED:
            if self.add(item, waiter):
                return True
        if state is State.CLOSED:
            raise ShutDown(SHUT_DOWN)
        return state is State.DONE

    # --- out

    def take(self, by: Waiter | None = None, seq: int | None = None) -> Any:
        """The item in turn, or the one with this number; NOTHING when it cannot be had."""
        try:
            return self._planned(lambda: self._take(by, seq))
        except (Gone, Interrupting):
            return NOTHING

    def _take(self, by: Waiter | None, seq: int | None) -> Any:
        plan = self.lines.store.plan_take(seq)
        with self.section:
            if not self.lines.may_take(by):
                return NOTHING
            item = self.lines.take(plan, by, seq)
            self.lines.redeem(by)
            self.settle()
        return item

    def take_for(self, waiter: Waiter, match: Match | None) -> Any:
        """In the waiter's turn; the waiter itself if it must wait to be woken, and ask again."""
        waiter.picky = match is not None
        while (state := self._stand(waiter, self.lines.getters)) is not State.CLOSED:
            if state is State.CALLED:
                found = self.take(waiter)
            elif match is not None and self._search_end(waiter):
                waiter.asleep = False
                found = self._seek_or_leave(waiter, match)
            else:
                return waiter
            if found is not NOTHING:
                return found
        raise ShutDown(SHUT_DOWN)

    # --- the first item that satisfies a predicate

    def seek(self, waiter: Waiter, match: Match) -> Any:
        """Look at what is there and new for this waiter, in rounds, until nothing is left."""
        look = self._look_at_all if self.order == "heap" else self._look_in_turn
        while end := self._search_end(waiter):
            found = look(waiter, match, end)
            if found is not NOTHING:
                return found
            with self.section:
                self.settle()  # those behind may look now at what was refused
        return NOTHING

    def _seek_or_leave(self, waiter: Waiter, match: Match) -> Any:
        try:
            return self.seek(waiter, match)
        except BaseException:
            self.leave(waiter)
            raise

    def _search_end(self, waiter: Waiter) -> int:
        try:
            with self.section:
                return self.lines.search_end(waiter)
        except Interrupting:
            return 0

    def _look_in_turn(self, waiter: Waiter, match: Match, end: int) -> Any:
        for seq, item in self._between(waiter.seen, end):
            if match(item):
                found = self.take(waiter, seq)
                if found is not NOTHING or self.lines.available <= 0:
                    return found
            if self.order == "fifo":
                waiter.seen = seq + 1
        waiter.seen = end
        return NOTHING

    def _look_at_all(self, waiter: Waiter, match: Match, end: int) -> Any:
        best: tuple[int, Any] | None = None
        for entry in self._between(waiter.seen, end):
            if match(entry[1]) and (best is None or entry[1] < best[1]):
                best = entry
        if best is None:
            waiter.seen = end
            return NOTHING
        return self.take(waiter, best[0])

    def _between(self, first: int, end: int) -> list[tuple[int, Any]]:
        with self.section:
            return self.lines.store.between(first, end)

    # --- waiting

    def join_for(self, waiter: Waiter) -> bool:
        """Whether all is done; else the waiter must wait to be woken, and ask again."""
        with self.section:
            if waiter.state is State.DONE or not self.lines.unfinished:
                return True
            waiter.join(self.lines.joiners, State.WAITING)
            waiter.asleep = True
            return False

    def leave(self, waiter: Waiter) -> None:
        """Ends the wait however it ended; what the waiter was promised goes to the next one."""
        if waiter.line is not None:
            self.soon(lambda: self.lines.leave(waiter))

    def _stand(self, waiter: Waiter, line: Line) -> State:
        """In this line, if it is in none yet; asleep, if it must wait there."""
        with self.section:
            if waiter.state in {State.IDLE, State.LOST}:
                self.lines.receive(waiter, line)
                self.settle()
            waiter.asleep = waiter.state is State.WAITING
            return waiter.state

    # --- changes

    def soon(self, change: Callable[[], object]) -> None:
        """Now, or when what this interrupts in its own thread has left the section."""
        try:
            with self.section:
                change()
                self.wake_later()
        except Interrupting:
            self.section.later(lambda: self.soon(change))

    def settle(self) -> None:
        """Inside the section: let whoever can go on now go on."""
        self.lines.call_up()
        self.wake_later()

    def wake_later(self) -> None:
        """Tasks are woken once the section is left: that may run any code."""
        if self.lines.due:
            self.section.later(self._wake_due)

    def _wake_due(self) -> None:
        while self.lines.due:
            waiter = self.lines.due.popleft()
            if waiter.wake is not None and not waiter.wake():  # its event loop is closed
                self.leave(waiter)

    def _planned(self, step: Callable[[], R]) -> R:
        """Again and again, while somebody else's change comes between a plan and its step."""
        own = 0
        while True:
            try:
                return step()
            except Stale as stale:
                own += stale.own
            if own == _MOST_ATTEMPTS:
                raise QueueError(
                    "comparing two items changes the queue each time: let comparisons only compare"
                )
