"""The supervisor: carries messages from the broker to executors and back, and settles them.

One thread, one loop, no user code. Each turn: hear what happened (replies, deaths, bells,
signals), settle and claim in one round trip, hand over, do what is due. A batch is whatever
gathered during the last round trip; nothing waits for a timer to leave.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from penstock import telemetry
from penstock.clock import Clock
from penstock.crashpoints import reach
from penstock.plan import Attentive
from penstock.worker import policy
from penstock.worker.crew import Crew, Slot, Verdict, Work
from penstock.worker.limits import TimeLimits
from penstock.worker.neighbours import Neighbours
from penstock.worker.processes import kill_group, status_text
from penstock.worker.protocol import (
    Begun,
    Exited,
    Finished,
    FromExecutor,
    Hand,
    Late,
    Leaving,
    Nonsense,
    Progress,
    Ready,
    Rejected,
    Retried,
    Spawned,
    Unreadable,
)
from penstock.worker.retiring import Retiring
from penstock.worker.staff import Staff
from penstock.worker.upkeep import Upkeep
from penstock.worker.zygote_link import ZygoteGone

if TYPE_CHECKING:
    from logging import Logger

    from penstock.plan import Listener
    from penstock.worker.control.herald import Herald
    from penstock.worker.control.panel import Panel
    from penstock.worker.custody import Custody
    from penstock.worker.endings import Endings
    from penstock.worker.intake import Intake
    from penstock.worker.options import WorkerPlan
    from penstock.worker.stopping import StopSignals
    from penstock.worker.vitals import Vitals
    from penstock.worker.zygote_link import ZygoteLink

__all__ = ["Supervisor"]

_TEND_AFTER_A_RING = 0.02  # to learn of new delays; claims themselves find what is due
_EXTENDS_PER_LEASE = 3


class Supervisor:
    """The loop. Everything it owns is touched by it alone."""

    def __init__(
        self,
        plan: WorkerPlan,
        *,
        crew: Crew,
        custody: Custody,
        intake: Intake,
        endings: Endings,
        zygote: ZygoteLink,
        listener: Listener,
        stop: StopSignals,
        neighbours: Callable[[], Iterable[int]],
        listen: Callable[[Sequence[str]], Listener],
        herald: Herald,
        panel: Callable[[Supervisor], Panel],
        vitals: Vitals,
        clock: Clock,
        log: Logger,
    ) -> None:
        self.plan = plan
        self.crew = crew
        self._custody = custody
        self._intake = intake
        self._endings = endings
        self._zygote = zygote
        self._listener = listener
        self._attentive = _attentive(listener)
        self._stop = stop
        self._listen = listen
        self._herald = herald
        self._vitals = vitals
        self._clock = clock
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._neighbours = Neighbours(neighbours, self._selector)
        self._staff = Staff(plan, crew=crew, zygote=zygote, selector=self._selector, clock=clock)
        self._limits = TimeLimits(zygote.kill)
        self._retiring = Retiring(
            crew=crew, timeout=plan.shutdown_timeout, kill=zygote.kill, log=log
        )
        self._pace = policy.Pace()
        self._queues = list(plan.queues)
        self._look = True  # the broker may have work for us
        self._upkeep = Upkeep()
        self._turned_at = clock.monotonic()
        self._extend_at = 0.0
        self._draining_since: float | None = None
        self._cut_off = False
        self.totals: Counter[str] = Counter()  # runs that ended, by task
        self._panel = panel(self)

    def run(self) -> int:
        """Work until told to stop; gives the exit code. Raises ZygoteGone."""
        for source in (self._stop, self._listener, self._zygote):
            self._selector.register(source.fileno(), selectors.EVENT_READ)
        for descriptor in self._panel.sources():
            self._selector.register(descriptor, selectors.EVENT_READ)
        try:
            self._panel.begin()
            self._staff.fill()
            while not self._ended():
                self._turn()
        except ZygoteGone:
            self._orphan()
            raise
        finally:
            self._flush()
            self._custody.part()
            self._panel.end()
            self._neighbours.close()
            self._selector.close()
        return 1 if self._cut_off else 0

    def _turn(self) -> None:
        ready = self._wait(self._timeout(self._clock.monotonic()))
        now = self._clock.monotonic()
        if now - self._turned_at > self.plan.lease_time / 2:  # we were stopped, or starved
            self._extend(now)  # before anything begins that others may have by now
        self._turned_at = now
        self._vitals.turned(now)
        self._hear(ready, now)
        self._trade()
        self._dispatch(self._clock.monotonic())
        self._do_what_is_due(now)  # after the work, which is what somebody waits for
        self._panel.turn(ready, now)

    def _wait(self, timeout: float) -> set[int]:
        """Sleep until something is to be heard, and give where."""
        attentive = self._attentive if timeout > 0 else None
        if attentive is not None:
            attentive.attend()
        ready = {key.fd for key, _ in self._selector.select(timeout)}
        if attentive is not None:
            bell = attentive.fileno()
            if not attentive.attended(ready=bell in ready):
                ready.discard(bell)
        return ready

    def _ended(self) -> bool:
        return self._draining_since is not None and not self.crew.slots

    def _timeout(self, now: float) -> float:
        """How long nothing needs to happen."""
        if self._may_trade():
            return 0.0
        due = [self._upkeep.at, self._extend_at, self._panel.due()]
        due += [at for at in (self._limits.next(), self._retiring.next()) if at is not None]
        if self._custody.resting:
            due.append(now + self._custody.resting)
        if any(len(slot.held) > slot.capacity for slot in self.crew.slots.values()):
            due.append(now + policy.PATIENCE)
        if self.crew.waiting:
            due.append(now + policy.KEEP_WAITING)
        if self._draining_since is not None and not self._cut_off:
            due.append(self._draining_since + self.plan.shutdown_timeout)
        hiring = self._staff.due() if self._draining_since is None else None
        if hiring is not None:
            due.append(hiring)
        return max(0.0, min(due) - now)

    # --- what happened -------------------------------------------------------------------

    def _hear(self, ready: set[int], now: float) -> None:
        if self._stop.fileno() in ready:
            self._on_stop()
        if self._listener.fileno() in ready:
            self._listener.clear()  # before looking: a ring from now on is heard again
            self._custody.hurry()
            self._look = True
            self._upkeep.hurry(now + _TEND_AFTER_A_RING)
            if len(ready) == 1:
                return
        if self._neighbours.died(ready):  # its messages are free at once
            self._upkeep.hurry(now)
        for slot in list(self.crew.slots.values()):
            if slot.open and slot.channel.fileno() in ready:
                self._read(slot, now)
        if self._zygote.fileno() in ready:
            self._on_zygote(now)

    def _on_zygote(self, now: float) -> None:
        for event in self._zygote.receive():
            if isinstance(event, Spawned):
                self.crew.slots[event.slot].pid = event.pid
            elif isinstance(event, Exited):
                self._on_exit(self.crew.slots[event.slot], event.status, now)

    def _read(self, slot: Slot, now: float) -> None:
        try:
            self._read_replies(slot, now)
        except Nonsense as error:
            self._silence(slot, error)

    def _silence(self, slot: Slot, error: Nonsense) -> None:
        """A task wrote to the channel, say: what it has begun counts as crashed."""
        self._log.error("Executor %d (pid %d) is killed: %s", slot.index, slot.pid, error)
        if slot.open:
            self._selector.unregister(slot.channel.fileno())
            slot.open = False
        with contextlib.suppress(ZygoteGone):  # then it is dead already
            self._zygote.kill(slot.index, signal.SIGKILL)

    def _read_replies(self, slot: Slot, now: float) -> None:
        replies, slot.open = slot.channel.replies()
        if not slot.open:  # the zygote says how it ended
            self._selector.unregister(slot.channel.fileno())
        if replies:
            slot.progress_at = now
        if slot.given_up:
            replies = [r for r in replies if getattr(r, "tag", None) not in slot.given_up]
        for reply in replies:
            self._on_reply(slot, reply, now)

    def _on_reply(self, slot: Slot, reply: FromExecutor, now: float) -> None:
        match reply:
            case Finished():
                self._endings.finished(self._answered(slot, reply.tag, reply.runtime), reply)
            case Retried():
                self._endings.retried(self._answered(slot, reply.tag, reply.runtime), reply)
            case Rejected():
                self._endings.rejected(self._answered(slot, reply.tag, reply.runtime), reply)
            case Unreadable():
                self._endings.unreadable(self._answered(slot, reply.tag, None), reply.reason)
            case Progress():
                self._endings.progress(slot.holding(reply.tag), reply)
            case Begun():
                self._on_begun(slot, slot.holding(reply.tag), now)
            case Ready():
                self._staff.ready(slot)
            case Leaving():
                self._retiring.leave(slot, now)
            case Late():
                self._on_late(slot, reply.tag, now)

    def _answered(self, slot: Slot, tag: int, runtime: float | None) -> Work:
        work = slot.answered(tag)
        self._limits.forget(work)
        reach("answered")
        if runtime is not None:
            self._pace.add(runtime)
        self.totals[work.header.task] += 1
        return work

    def _on_begun(self, slot: Slot, work: Work, now: float) -> None:
        work.begun_at = now
        self._limits.watch(work, slot)
        if self._herald.on:
            self._herald.started(work.header.id)

    def _on_late(self, slot: Slot, tag: int, now: float) -> None:
        """It goes to an executor again if it is ours still."""
        work = self.crew.returned(slot, tag, now)
        if work.lost or self._draining_since is not None:
            back = self.crew.take([work])
            self._endings.hand_back([] if work.lost else back)

    def _on_exit(self, slot: Slot, status: int, now: float) -> None:
        if slot.open:
            self._read(slot, now)  # its last words
        self.crew.recall(slot, now)
        begun = list(slot.held.values())
        reach("bereaved")
        self._staff.part_with(slot, status)
        if status != 0 and not self._cut_off and slot.leave_by is None:
            self._log.error("Executor %d (pid %d): %s", slot.index, slot.pid, status_text(status))
        for work in begun:
            self._limits.forget(work)
            alone = len(begun) == 1 and not slot.given_up
            self._endings.interrupted(work, status, alone=alone)
        if begun:  # they go back to the head of their queues, before what waits here
            self._endings.hand_back(self.crew.take(list(self.crew.waiting)))
            self._look = True
        if self._draining_since is None:
            self._staff.fill()

    # --- what is due ---------------------------------------------------------------------

    def _do_what_is_due(self, now: float) -> None:
        if now >= self._upkeep.at:
            self._tend(now)
        if now >= self._extend_at:
            self._extend(now)
        for work, slot in self._limits.enforce(now):
            limit, name = work.hard_limit, work.header.id
            self._log.error("Hard time limit (%ss) exceeded for %s", limit, name)
            self._end_runs(slot, [work], Verdict.TIME_LIMIT)
        self._retiring.enforce(now)
        for slot in policy.stuck(self.crew, now):
            self.crew.recall(slot, now)
        overdue = self.crew.take(policy.overdue(self.crew, now))
        if overdue:
            self._endings.hand_back(overdue)
            self._look = True  # they are there for us, too, once an executor is free
        if self._draining_since is None:
            self._staff.fill()
        elif now >= self._draining_since + self.plan.shutdown_timeout and not self._cut_off:
            self._log.warning("Still running after %ss.", self.plan.shutdown_timeout)
            self._cut()

    def _tend(self, now: float) -> None:
        if self._upkeep.tended(now, self._custody.tend()) or self._vitals.anew:
            self._look = True  # something was to become ready; else a net under the bells
            self._vitals.anew = False
        if not self._custody.resting:
            self._neighbours.refresh()

    def _extend(self, now: float) -> None:
        self._extend_at = now + self.plan.lease_time / _EXTENDS_PER_LEASE
        works = [work for work in self.crew.works() if not work.settled and not work.lost]
        until = self._clock.boot() + self.plan.lease_time
        held = self._custody.extend([work.lease for work in works]) if works else set()
        if self._custody.resting:  # not when a third of the lease is over, but once it is back
            self._extend_at = now + self._custody.resting
        for work in works:
            if work.lease.message.key in held:
                work.held_until = work.held_until if self._custody.resting else until
            else:
                work.lost = True
                self._log.warning("The lease on task %s was lost", work.header.id)
        self._drop_lost(now)

    def _drop_lost(self, now: float) -> None:
        """What lost its lease before it began must not begin."""
        for slot in self.crew.slots.values():
            if any(work.lost for work in slot.held.values()):
                self.crew.recall(slot, now)
        self.crew.take([work for work in self.crew.waiting if work.lost])

    # --- claiming and handing over -------------------------------------------------------

    def _room(self) -> int:
        if self._draining_since is not None:
            return 0
        return policy.room(self.crew, self._pace, self._clock.monotonic())

    def _may_trade(self) -> bool:
        if self._custody.resting:
            return False
        wanted = self._look and bool(self._queues) and self._room() > 0
        return self._custody.pending or wanted

    def _trade(self) -> None:
        """Settle and claim, in one round trip."""
        if self._custody.resting:
            return
        limit = self._room() if self._look and self._queues else 0
        if self._look:
            self._vitals.room = limit
        if not limit and not self._custody.pending:
            return
        until = self._clock.boot() + self.plan.lease_time
        leases = self._custody.exchange(self._queues if limit else (), limit)
        if limit:
            self._vitals.claims += len(leases)
            self._look = self._custody.claimed >= limit or bool(self._custody.resting)
            self._queues.append(self._queues.pop(0))  # each queue is first in its turn
        if leases:
            for work in self._intake.receive(leases):
                work.held_until = math.inf if work.settled else until
                self.crew.waiting.append(work)

    def _dispatch(self, now: float) -> None:
        boot = self._clock.boot() if self.crew.waiting else 0.0
        for work, slot in policy.assignments(self.crew, self._pace, now):
            if work.held_until <= boot:
                return  # nothing begins whose lease may be over: it is extended, or handed back
            if not slot.channel.hand(_hand(work, announce=self._herald.on)):
                return  # the channel is full for the moment
            reach("handed")
            self.crew.waiting.popleft()
            slot.take(work, now)

    # --- stopping and being told ---------------------------------------------------------

    def _on_stop(self) -> None:
        stops = self._stop.count()
        if stops:
            self.drain()
        if stops > 1 and not self._cut_off:
            self._cut()

    def drain(self) -> None:
        """Finish what runs, hand back the rest, end."""
        if self._draining_since is not None:
            return
        self._log.warning("Stopping: finishing what runs, handing back the rest.")
        now = self._draining_since = self._clock.monotonic()
        reach("draining")
        for slot in self.crew.slots.values():
            self._retiring.leave(slot, now)
        self._endings.hand_back(self.crew.take(list(self.crew.waiting)))
        reach("recalled")
        telemetry.emit("worker.draining")

    def _cut(self) -> None:
        """Stop now: what runs is killed and handed back."""
        self._log.warning("Cutting off what still runs; it is handed back.")
        self._cut_off = True
        for slot in self.crew.slots.values():
            for work in slot.held.values():
                work.verdict = work.verdict or Verdict.CUT_OFF
            self._zygote.kill(slot.index, signal.SIGKILL)

    def _orphan(self) -> None:
        """The zygote died, and every executor with it."""
        self._log.error("The process that forks executors died; starting again.")
        now = self._clock.monotonic()
        for slot in self.crew.slots.values():
            if slot.open:
                self._read(slot, now)
            self.crew.recall(slot, now)
            if slot.pid:
                _kill_what_is_left(slot.pid)
        self._endings.hand_back(self.crew.take(list(self.crew.waiting)))
        for slot in self.crew.slots.values():
            self._endings.orphaned(slot.held.values())

    def _flush(self) -> None:
        """Carry over what still waits; without a broker the leases simply run out.

        A broker that is away for a moment is waited for: what was done would be done again. In a
        hurry it is asked once more.
        """
        ends = (self._draining_since or self._clock.monotonic()) + self.plan.shutdown_timeout
        while self._custody.pending:
            rest = self._custody.resting
            hurried = self._cut_off or self._stop.count() > 1
            if rest and hurried:
                self._custody.insist()
                self._custody.exchange((), 0)
                return
            if rest:
                if self._clock.monotonic() + rest > ends:
                    return
                select.select([self._stop], [], [], rest)
            self._custody.exchange((), 0)

    # --- being steered from outside --------------------------------------------------------

    @property
    def queues(self) -> Sequence[str]:
        """The queues that are served, by name."""
        return sorted(self._queues)

    @property
    def size(self) -> int:
        """How many executors there should be."""
        return self._staff.size

    def revoke(self, ids: Iterable[str], *, terminate: signal.Signals | None = None) -> list[str]:
        """End what waits here, and by that signal what runs; gives the ids that were ended."""
        wanted = set(ids)
        ended: list[str] = []
        now = self._clock.monotonic()
        for slot in list(self.crew.slots.values()):
            if any(work.header.id in wanted for work in slot.held.values()):
                self.crew.recall(slot, now)
                if terminate:
                    ended += self._terminate(slot, wanted, terminate)
        for work in self.crew.take([w for w in self.crew.waiting if w.header.id in wanted]):
            self._endings.revoked(work)
            ended.append(work.header.id)
        return ended

    def _terminate(self, slot: Slot, wanted: set[str], number: signal.Signals) -> list[str]:
        doomed = [work for work in slot.held.values() if work.header.id in wanted]
        for work in doomed:
            work.signal = number
        if doomed:
            self._end_runs(slot, doomed, Verdict.TERMINATED, number)
        return [work.header.id for work in doomed]

    def _end_runs(
        self, slot: Slot, works: list[Work], verdict: Verdict, number: int = signal.SIGKILL
    ) -> None:
        """End runs before they end themselves, by what their executor is for."""
        if slot.capacity == 1:  # it dies for it, and then it is recorded
            for work in works:
                work.verdict = verdict
            if number != signal.SIGKILL:  # which a task may mind
                self._retiring.warn(slot, self._clock.monotonic())
            self._zygote.kill(slot.index, number)
            return
        self._retiring.give_up(slot, works, self._clock.monotonic())
        for work in works:
            self._limits.forget(work)
            self._endings.cut_short(work, verdict)
        if self._draining_since is None:
            self._staff.fill()
        self._look = True

    def resize(self, change: int) -> None:
        """Have so many executors more, or fewer; raises ValueError."""
        if self._draining_since is not None:
            raise ValueError("this worker is stopping")
        now = self._clock.monotonic()
        for slot in self._staff.resize(change):
            self._retiring.leave(slot, now)
        self._staff.fill()
        self._look = True

    def consume(self, queue: str) -> None:
        """Serve this queue, too."""
        self._serve([*self._queues, queue])

    def cancel(self, queue: str) -> None:
        """Claim nothing more from this queue; what was claimed is run."""
        self._serve([name for name in self._queues if name != queue])

    def _serve(self, queues: list[str]) -> None:
        self._selector.unregister(self._listener.fileno())
        try:
            self._listener = self._listen(queues)
            self._attentive = _attentive(self._listener)
            self._queues = queues
        finally:
            self._selector.register(self._listener.fileno(), selectors.EVENT_READ)
        self._look = True


def _hand(work: Work, *, announce: bool) -> Hand:
    lease, soft = work.lease, work.soft_limit
    announce = bool(announce or soft or work.hard_limit or work.policy.track_started)
    return Hand(work.tag, lease.message, lease.attempt, announce, soft, work.held_until)


def _attentive(listener: Listener) -> Attentive | None:
    return listener if isinstance(listener, Attentive) else None


def _kill_what_is_left(pid: int) -> None:
    # The executors got the kernel's own signal when the zygote died; this is for what they started.
    if os.getpgrp() != pid:
        kill_group(pid)
