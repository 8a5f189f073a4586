"""The third driver of plans: it decides at every yield what becomes of the caller and its reply.

Virtual time is a heap of events. An exchange takes two: it is carried out, and its reply arrives;
whatever others do falls between. Nothing here knows what a broker is.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from penstock.clock import ManualClock
from penstock.errors import BrokerError, Unavailable, Uncertain
from penstock.plan import Command, Exchange, Listen, Wait
from penstock.testing.simulation import operations as ops
from penstock.testing.simulation.actors import LEASE
from penstock.testing.simulation.call import Actor, Call
from penstock.testing.simulation.history import History
from penstock.testing.simulation.ledger import Ledger
from penstock.testing.simulation.publication import Instant
from penstock.testing.simulation.telling import told
from penstock.testing.simulation.weather import CALM, Fault, Weather

__all__ = ["Storm"]

_UPKEEP = frozenset({"holders", "tend"})  # names of exchanges
_LATENCY = 0.01  # seconds: the longest that an exchange or its reply takes when nothing is wrong


class Storm:
    """Runs actors against an engine in virtual time, with the weather's faults."""

    def __init__(
        self,
        *,
        rng: Random,
        clock: ManualClock,
        weather: Weather,
        ledger: Ledger,
        history: History,
    ) -> None:
        self.weather = weather
        self.now = 0.0
        self.step = 0
        self.epoch = 0
        self.actors: list[Actor] = []
        self.faults: Counter[str] = Counter()
        self.on_crash: Callable[[Actor], None] | None = None
        self._rng = rng
        self._clock = clock
        self._ledger = ledger
        self._history = history
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = itertools.count()
        self._parked: list[Call] = []

    # --- time ------------------------------------------------------------------------------

    def run(self, until: float, *, steps: int, enough: Callable[[], bool]) -> bool:
        """Let things happen until that virtual time; True when it was enough before."""
        last = self.step + steps
        while self._events and self._events[0][0] <= until and self.step < last:
            when, _, act, arguments = heapq.heappop(self._events)
            self._pass_to(when)
            act(*arguments)
            if enough():
                return True
        return False

    def later(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        """Have something happen after so many virtual seconds."""
        heapq.heappush(self._events, (self.now + seconds, next(self._serial), act, arguments))

    def _pass_to(self, when: float) -> None:
        if when > self.now:
            self._clock.advance(when - self.now)
            self.now = when

    def instant(self) -> Instant:
        """This step, by the broker's clock."""
        return Instant(self.step, self.epoch, self._clock.boot(), self._clock.wall())

    @property
    def is_halfway(self) -> bool:
        """True while an operation has done something, and has more to do or to tell."""
        calls = [actor.call for actor in self.actors if actor.call is not None]
        return any(call.is_halfway for call in calls)

    def note(self, who: str, what: str) -> None:
        """Write it down."""
        self._history.note(self.now, who, what)

    # --- actors ----------------------------------------------------------------------------

    def enter(self, actor: Actor) -> None:
        """Somebody new takes part."""
        self.actors.append(actor)
        self.later(self._latency(), self._go_on, actor, None)

    def _go_on(self, actor: Actor, answer: Any, error: BrokerError | None = None) -> None:
        """Give an actor what it waits for, and take up what it asks next."""
        if not actor.alive:
            return
        actor.call = None
        try:
            wish = actor.script.send(answer) if error is None else actor.script.throw(error)
        except StopIteration:
            self._leave(actor)
            return
        if isinstance(wish, ops.Sleep):
            self.later(wish.seconds, self._go_on, actor, None)
        else:
            actor.call = call = Call(actor, wish)
            self.step += 1
            call.began = self.instant()
            self._feed(call, lambda: next(call.plan))
            if call.command is None:  # it needed no exchange, and may have rung all the same
                self._wake_parked()

    def _leave(self, actor: Actor) -> None:
        actor.alive = False
        self.actors.remove(actor)

    def crash(self, actor: Actor, why: str) -> None:
        """An actor dies as a process does: it says nothing to anybody."""
        self.note(actor.name, f"crashes {why}")
        self._leave(actor)
        if actor.call is not None:
            self._abandon(actor.call)
            actor.call.plan.close()
        actor.script.close()
        if self.on_crash is not None:
            self.on_crash(actor)

    # --- one operation ---------------------------------------------------------------------

    def _feed(self, call: Call, resume: Callable[[], Command]) -> None:
        """Let a plan go on to its next command, or to its end."""
        done = call.command
        try:
            call.command = resume()
        except StopIteration as stop:
            self._answered(call, stop.value)
        except BrokerError as error:
            self._failed(call, error)
        else:
            if call.first is not None and not _is_upkeep(done) and not _is_wait(call.command):
                self._ledger.goes_on(call.op, self.instant(), first=call.consumed is None)
            call.consumed, call.first = call.first or call.consumed, None
            if call.doomed:
                self.crash(call.actor, "after an exchange")
            else:
                self.later(self._latency() + call.pause, self._carry_out, call)
                call.pause = 0.0

    def _answered(self, call: Call, answer: Any) -> None:
        now = self.instant()
        call.answered = True
        self.note(call.actor.name, told(self._ledger, call.op, answer))
        self._ledger.saw(call.op, answer, call.since() or now, now)
        if call.doomed:
            self.crash(call.actor, "before it hears of it")
        else:
            self.later(self._latency() + call.pause, self._go_on, call.actor, answer)

    def _failed(self, call: Call, error: BrokerError) -> None:
        self._abandon(call)
        self.later(self._latency(), self._go_on, call.actor, None, error)

    def _abandon(self, call: Call) -> None:
        first = call.doubtful()
        if first is not None:
            self.note(call.actor.name, f"never knows of {told(self._ledger, call.op, None)}")
            self._ledger.may_have_done(call.op, first)
        call.answered = True

    # --- one exchange ----------------------------------------------------------------------

    def _carry_out(self, call: Call) -> None:
        if not call.actor.alive:
            return
        command = call.command
        if isinstance(command, Wait):
            self._park(call, command)
            return
        fault = None
        if isinstance(command, Exchange) and call.first is None:
            fault = self.weather.fault(self._rng)
            if fault == "repeated" and not self._may_repeat(call.op):
                fault = None
        if fault is None:
            reply = self._execute(call)
            self._feed(call, lambda: call.plan.send(reply))
        else:
            self.faults[fault] += 1
            self._go_wrong(call, fault)

    def _may_repeat(self, op: ops.Operation) -> bool:
        return self._ledger.can.repeatable or not isinstance(op, ops.Publish)

    def _execute(self, call: Call) -> Any:
        command = call.command
        assert command is not None
        self.step += 1
        if call.first is None and not isinstance(command, Listen):
            call.first = self.instant()
        if isinstance(command, Listen):
            call.round = None
        elif call.round is None:
            call.round = self.instant()
        if isinstance(call.op, ops.Publish):
            self._ledger.sending(call.op, self.instant())
        reply = call.actor.desk.broker.engine.execute(command)
        self._wake_parked()
        return reply

    def _go_wrong(self, call: Call, fault: Fault) -> None:
        self.note(call.actor.name, f"{fault}: {told(self._ledger, call.op, None)}")
        match fault:
            case "crash before":
                self.crash(call.actor, "before an exchange")
            case "crash after":
                call.doomed = True
                reply = self._execute(call)
                self._feed(call, lambda: call.plan.send(reply))
            case "refused":
                self._feed(call, lambda: call.plan.throw(Unavailable("simulated")))
            case "vanished":
                self._feed(call, lambda: call.plan.throw(Uncertain("simulated")))
            case "reply lost":
                self._execute(call)
                self._feed(call, lambda: call.plan.throw(Uncertain("simulated")))
            case "repeated":
                gap = self._hold_up() * self._rng.random()
                self._execute(call)
                self._ledger.hangs(call.op, self.instant(), gap)
                self.later(gap, self._carry_out, call)
            case "pause before":
                self.later(self._hold_up(), self._carry_out_surely, call)
            case "pause after":
                call.pause = self._hold_up()
                reply = self._execute(call)
                self._feed(call, lambda: call.plan.send(reply))

    def _carry_out_surely(self, call: Call) -> None:
        if call.actor.alive:
            reply = self._execute(call)
            self._feed(call, lambda: call.plan.send(reply))

    def _latency(self) -> float:
        return self._rng.random() * _LATENCY

    def _hold_up(self) -> float:
        return LEASE * self._rng.uniform(0.5, 3)

    # --- waiting ---------------------------------------------------------------------------

    def _park(self, call: Call, command: Wait) -> None:
        """Wait for a ring; now and then one comes for nothing, as it may."""
        if self._rng.random() < 0.02 or command.listener.wait(0.0):
            self._feed(call, lambda: call.plan.send(True))
            return
        call.parked_since = self.step
        call.round = None
        self._parked.append(call)
        if command.timeout is not None:
            self.later(max(0.0, command.timeout), self._time_out, call, command)

    def _wake_parked(self) -> None:
        for call in self._parked[:]:
            if (
                call.actor.alive
                and isinstance(call.command, Wait)
                and call.command.listener.wait(0.0)
            ):
                self._unpark(call, rung=True)
        self._parked = [call for call in self._parked if call.actor.alive]

    def _time_out(self, call: Call, command: Wait) -> None:
        if call.actor.alive and call.command is command and call.parked_since >= 0:
            if isinstance(call.op, ops.Claim):
                self._ledger.slept(call.op.queues, call.parked_since)
            self._unpark(call, rung=False)

    def _unpark(self, call: Call, *, rung: bool) -> None:
        self._parked.remove(call)
        call.parked_since = -1
        call.command = None
        self.later(self._latency(), self._wake, call, rung)

    def _wake(self, call: Call, rung: bool) -> None:
        if call.actor.alive:
            self._feed(call, lambda: call.plan.send(rung))

    # --- what befalls everybody --------------------------------------------------------------

    def jump(self, seconds: float) -> None:
        """Set the wall clock forth or back."""
        self.note("clock", f"jumps by {seconds:+.0f} s")
        self._ledger.jumped(self.step, self._clock.wall())
        self._clock.jump(seconds)

    def reboot(self) -> None:
        """Restart the machine: nobody survives it."""
        self.note("machine", "restarts")
        self.step += 1
        self.epoch += 1
        self._clock.reboot()

    def heal(self) -> None:
        """No more faults, and everybody goes."""
        self.weather = CALM
        self.on_crash = None
        self._events.clear()
        self.crash_all("as the storm ends")

    def crash_all(self, why: str) -> None:
        """Everybody dies."""
        for actor in self.actors[:]:
            self.crash(actor, why)
        self._parked.clear()


def _is_upkeep(command: Command | None) -> bool:
    """True for an exchange that comes before the first claim: nobody gets anything by it."""
    return isinstance(command, Exchange) and command.name in _UPKEEP


def _is_wait(command: Command | None) -> bool:
    return isinstance(command, Listen | Wait)
