"""Who waits for a commit, and who makes it: callers queue tickets, one of them leads.

The leader carries out all that is pending as one batch and fills in the tickets; what gathers
meanwhile is the next batch, led by one of those who wait. No thread is kept for it: a blocking
caller leads itself; for awaiting callers one is borrowed from an executor.

*Interruptions.* Ctrl-C, or whatever else a signal's handler raises, may end the leader's work
between any two steps, those in which it takes the lead or passes it on as well. Mostly it passes
the lead on; where it could not, those who wait see before long that nobody leads, and go on, and
whoever leads next begins with what was left of the last batch.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.plan import Exchange

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from concurrent.futures import Executor

__all__ = ["Line", "Ticket"]

_PATIENCE = 32  # times that others may run first
_LARGEST = 256  # exchanges in one batch: bounds how long the first of them waits
_LOOKS = 0.1  # seconds after which one who waits looks whether anybody leads


class Ticket(msgspec.Struct, eq=False):
    """One exchange and what came of it: filled in by the leader, then read by its owner."""

    exchange: Exchange
    awaited: Future[None] | None = None  # what an owner that does not block waits for
    baton: threading.Lock | None = None  # what one that blocks waits for: it is free, then
    reply: Any = None
    error: BaseException | None = None
    finished: bool = False
    chosen: bool = False  # its owner is to lead the next batch

    def wait(self, timeout: float) -> bool:
        """Block until it is finished or chosen, so many seconds at most; says whether it is."""
        return self.baton is None or self.baton.acquire(timeout=timeout)

    def wake(self) -> None:
        """Tell an owner that blocks to look; twice is as once."""
        try:
            if self.baton is not None:
                self.baton.release()
        except RuntimeError:  # it is awake
            return

    def fail(self, error: BaseException) -> None:
        """Finish it with an error."""
        self.error = error
        self.finished = True

    def __repr__(self) -> str:
        return f"<ticket {self.exchange.name} {'finished' if self.finished else 'pending'}>"


class Line:
    """The line of tickets before one writer.

    ``carry_out`` gets a batch and finishes each ticket; one it leaves unfinished (because it was
    interrupted) surely did not happen and is carried out again. ``_lock`` guards everything.
    Somebody leads, or was chosen to, while ``_led`` is true; if it is true and ``_leading`` is
    free for long, who did so was interrupted.
    """

    def __init__(
        self, carry_out: Callable[[Sequence[Ticket]], None], *, gathers: bool = True
    ) -> None:
        """``gathers``: a batch waits for those who shared the last one; right where it is dear."""
        self._carry_out = carry_out
        self._patience = _PATIENCE if gathers else 0
        self._lock = threading.Lock()
        self._leading = threading.Lock()  # held while a batch is carried out and told of
        self._pending: list[Ticket] = []
        self._batch: Sequence[Ticket] = ()  # what is carried out, or was when its leader went away
        self._led = False
        self._watched: set[AbstractEventLoop] = set()  # where it is looked whether anybody leads
        self._crowd = 1  # how many shared the last commit
        self._executor: Executor | None = None

    def run(self, exchange: Exchange) -> Any:
        """Have it carried out and give its reply, blocking."""
        ticket = Ticket(exchange)
        with self._lock:
            led, self._led = self._led, True
            if led:
                ticket.baton = threading.Lock()
                ticket.baton.acquire()
            self._pending.append(ticket)
        if led:
            self._stand_by(ticket)
        while not ticket.finished:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.reply

    async def arun(self, exchange: Exchange) -> Any:
        """The same, awaiting: coroutines that ask together share one commit."""
        import asyncio

        awaited = asyncio.get_running_loop().create_future()
        ticket = Ticket(exchange, awaited)
        self._post(ticket)
        try:
            await awaited
        except asyncio.CancelledError:
            with self._lock:
                self._leave(ticket)
            raise
        if ticket.error is not None:
            raise ticket.error
        return ticket.reply

    def post(self, exchange: Exchange) -> None:
        """Have it carried out some time after all that was asked for before; nobody waits."""
        self._post(Ticket(exchange))

    def close(self) -> None:
        """Give the borrowed thread back when it is idle; it is borrowed again when needed."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def _post(self, ticket: Ticket) -> None:
        with self._lock:
            self._pending.append(ticket)
            led, self._led = self._led, True
        if not led:
            self._lead_elsewhere()
        elif ticket.awaited is not None and ticket.awaited.get_loop() not in self._watched:
            self._begin_to_watch(ticket.awaited.get_loop())

    def _begin_to_watch(self, loop: AbstractEventLoop) -> None:
        with self._lock:
            self._watched = {loop, *(each for each in self._watched if not each.is_closed())}
        loop.call_later(_LOOKS, self._watch, loop)

    def _watch(self, loop: AbstractEventLoop) -> None:
        """In a loop where some await, every so often: see to it that somebody leads."""
        if not self._led:
            with self._lock:
                self._watched.discard(loop)
            return
        if self._is_forsaken:
            self._lead_elsewhere()
        loop.call_later(_LOOKS, self._watch, loop)

    def _stand_by(self, ticket: Ticket) -> None:
        try:
            while not ticket.wait(_LOOKS):
                if ticket.finished or self._is_forsaken:
                    return
        except BaseException:  # Ctrl-C: whoever goes away must not take the lead along
            with self._lock:
                self._leave(ticket)
                chosen = ticket.chosen and not ticket.finished
            if chosen:
                self._hand_over()
            raise

    @property
    def _is_forsaken(self) -> bool:
        """True when nobody leads; or somebody is about to, and will find that it was done."""
        return not self._leading.locked()

    def _leave(self, ticket: Ticket) -> None:
        with contextlib.suppress(ValueError):  # a leader has taken it: it happens all the same
            self._pending.remove(ticket)

    def _lead(self, own: Ticket | None = None) -> None:
        batch: Sequence[Ticket] = ()
        try:
            with self._leading:
                if self._batch:
                    self._release(self._batch, None)
                try:
                    if self._crowd > 1:
                        self._gather()
                    with self._lock:
                        self._batch = batch = self._pending[:_LARGEST]
                        del self._pending[:_LARGEST]
                    self._crowd = len(batch)
                    if batch:
                        self._carry_out(batch)
                finally:
                    if batch != [own]:
                        self._release(batch, own)
                    self._batch = ()
        finally:
            self._hand_over()

    def _release(self, batch: Sequence[Ticket], own: Ticket | None) -> None:
        """Tell the others who are served; who is not, comes first in the next batch."""
        others = [ticket for ticket in batch if ticket is not own]
        left = [ticket for ticket in others if not ticket.finished]
        if left:
            with self._lock:
                self._pending[:0] = [ticket for ticket in left if ticket not in self._pending]
            others = [ticket for ticket in others if ticket.finished]
        _tell(others)

    def _gather(self) -> None:
        """Give those who shared the last commit a chance to share this one.

        They have just been told and are on their way. Without it a crowd of sixteen threads
        commits one, then fifteen, then one: twice the commits. With an fsync of 2 ms that was
        2,700 messages a second, and with it 3,600. A round trip to Redis costs less than that
        waiting: sixteen threads send 13,000 a second without it, and 11,000 with it.
        """
        for _ in range(min(self._crowd, self._patience)):
            if len(self._pending) >= self._crowd:
                return
            time.sleep(0)  # lets another thread run Python until it blocks

    def _hand_over(self) -> None:
        with self._lock:
            if not self._pending:
                self._led = False
                return
            heir = self._pending[0]
            heir.chosen = heir.baton is not None  # its thread waits, and so can lead
        if heir.chosen:
            heir.wake()
        else:
            self._lead_elsewhere()

    def _lead_elsewhere(self) -> None:
        try:
            self._threads().submit(self._lead)
        except RuntimeError:  # the interpreter is going down and starts no more threads
            self._lead()

    def _threads(self) -> Executor:
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(1, thread_name_prefix="penstock-commit")
        return self._executor


def _tell(finished: Sequence[Ticket]) -> None:
    """Wake the owners: each thread for itself, and each event loop once for all that wait in it."""
    loops: dict[AbstractEventLoop, list[Future[None]]] = {}
    for ticket in finished:
        if ticket.baton is not None:
            ticket.wake()
        elif ticket.awaited is not None:
            loops.setdefault(ticket.awaited.get_loop(), []).append(ticket.awaited)
    for loop, awaited in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, awaited)


def _resolve(awaited: Sequence[Future[None]]) -> None:
    for future in awaited:
        if not future.done():  # its owner may have been cancelled
            future.set_result(None)
