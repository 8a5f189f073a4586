"""Why a task was started again: every second start needs a cause that the history shows."""

from __future__ import annotations

from penstock.testing.history.rules import Rules
from penstock.testing.history.story import SECOND, Fault, Run, Story

__all__ = ["DEADLY", "Causes"]

DEADLY = frozenset({"executor", "supervisor", "zygote", "worker", "crash", "memory"})
_STOPS = frozenset({"stop"})  # SIGSTOP: alive, and silent
_TERMS = frozenset({"term"})  # told to end, and cut off when it took too long


class Causes:
    """Finds the fault that explains why one run was followed by another."""

    def __init__(self, story: Story, rules: Rules) -> None:
        self._story = story
        self._rules = rules
        self._lease = float(story.setup.get("lease", 15.0))
        self._by_connection = story.setup.get("custody") == "connection"
        self._cuts = list(story.cuts())

    def of(self, run: Run, again: Run) -> Fault | None:
        """What came between the two, if anything did."""
        for fault in self._story.strikes(run):
            if self._struck(fault, run, again):
                return fault
        return next((cut for cut in self._cuts if self._cut_off(cut, run, again)), None)

    def _struck(self, fault: Fault, run: Run, again: Run) -> bool:
        if fault.begin > again.start:
            return False
        if fault.kind in DEADLY:
            return run.end is None or fault.begin <= run.end + self._time_to_settle(run)
        if fault.kind in _STOPS:
            return self._outlasts_the_lease(fault, run, again)
        return fault.kind in _TERMS and run.end is None

    def _time_to_settle(self, run: Run) -> int:
        """How long after its end a run may still not be settled: longer with the broker away.

        Where the broker is away again before there was time enough, the time begins anew.
        """
        end = run.end or run.start
        bound = int(self._rules.settled_within * SECOND)
        until = end + bound
        stops = (fault for fault in self._story.strikes(run) if fault.kind in _STOPS)
        for away in sorted((*self._cuts, *stops), key=lambda fault: fault.begin):
            slack = bound if away.is_cut else 0  # it was just back, and not asked yet
            if away.begin <= until and away.end >= end - slack:
                until = max(until, away.end + bound)
        return until - end

    def _outlasts_the_lease(self, fault: Fault, run: Run, again: Run) -> bool:
        """Leases are renewed after a third of their time; so two thirds may already be over."""
        overlaps = fault.begin <= again.start and fault.end >= run.start - self._lease * SECOND
        return overlaps and fault.seconds >= self._lease * 0.6

    def _cut_off(self, cut: Fault, run: Run, again: Run) -> bool:
        if self._by_connection:  # the broker takes back what a lost connection had
            slack = int(self._rules.settled_within * SECOND)
            return run.start - slack <= cut.end and cut.begin <= again.start
        return self._outlasts_the_lease(cut, run, again)
