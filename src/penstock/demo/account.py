"""The account: what the journal says became of every order, and why a step ran twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from penstock.demo.journal import Entry

__all__ = ["STEPS", "Account", "Kill", "Repeat", "Run", "account", "runs_of"]

STEPS = ("pay", "pick", "ship")

# What ends is settled within a tenth of a second (more on a machine that is busy): a kill within
# this time of a run's end may have come before.
_UNSETTLED = 500_000_000  # nanoseconds
_NANO = 1e9


class Run(msgspec.Struct):
    """One run of one step, from its own lines. Times are monotonic nanoseconds."""

    step: str
    order: int
    task: str
    parent: str
    pid: int
    began: int
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """A SIGKILL of ours. ``pids`` are the executors that died of it."""

    what: str  # "executor" or "worker"
    at: int  # monotonic nanoseconds
    pids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A run that was not the first for its step and order; ``why`` None: no cause is seen."""

    run: Run
    why: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the orders."""

    orders: int
    done: int
    runs: dict[str, int]  # by step
    kills: dict[str, int]  # by what was killed
    repeats: list[Repeat]
    reruns: list[tuple[str, float]]  # what was killed, seconds until what it cut ran again

    @property
    def lost(self) -> int:
        """Orders that were accepted and never shipped."""
        return self.orders - self.done

    @property
    def unexplained(self) -> int:
        """Repeats without a cause."""
        return sum(repeat.why is None for repeat in self.repeats)

    @property
    def causes(self) -> dict[str, int]:
        """How many repeats each cause explains."""
        return dict(Counter(repeat.why for repeat in self.repeats if repeat.why is not None))

    @property
    def good(self) -> bool:
        """True when nothing was lost and nothing ran twice without a cause."""
        return not self.lost and not self.unexplained

    def __str__(self) -> str:
        return (
            f"orders {self.orders}  done {self.done}  lost {self.lost}  "
            f"run twice {len(self.repeats)}"
        )


def runs_of(entries: Iterable[Entry]) -> list[Run]:
    """The runs that the lines tell of, in the order they began."""
    runs: list[Run] = []
    running: dict[int, Run] = {}  # by pid: an executor runs one task at a time
    for entry in entries:
        if entry.edge == "start":
            run = Run(entry.step, entry.order, entry.task, entry.parent, entry.pid, entry.at)
            running[entry.pid] = run
            runs.append(run)
        else:
            running.pop(entry.pid).ended = entry.at
    return sorted(runs, key=lambda run: run.began)


def account(orders: int, entries: Sequence[Entry], kills: Sequence[Kill]) -> Account:
    """Draw it up for the orders numbered from 1."""
    runs = runs_of(entries)
    shipped = {run.order for run in runs if run.step == STEPS[-1] and run.ended is not None}
    return Account(
        orders=orders,
        done=len(shipped & set(range(1, orders + 1))),
        runs={step: sum(run.step == step for run in runs) for step in STEPS},
        kills=dict(Counter(kill.what for kill in kills)),
        repeats=_repeats(runs, kills),
        reruns=_reruns(runs, kills),
    )


def _repeats(runs: Sequence[Run], kills: Sequence[Kill]) -> list[Repeat]:
    earlier: dict[tuple[str, int], list[Run]] = defaultdict(list)
    by_task: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_task[run.task].append(run)
    repeats = []
    for run in runs:
        before = earlier[run.step, run.order]
        if before:
            repeats.append(Repeat(run, _cause(run, before, by_task, kills)))
        before.append(run)
    return repeats


def _cause(
    run: Run, before: Sequence[Run], by_task: dict[str, list[Run]], kills: Sequence[Kill]
) -> str | None:
    same = [other for other in before if other.task == run.task]
    if same:
        return _cut_short(same[-1], kills)
    siblings = {other.task for other in before if other.parent == run.parent}
    senders = by_task.get(run.parent, [])  # each run of the parent sends one child
    if siblings:
        return "its parent was repeated" if len(senders) > len(siblings) else None
    return "its parent was repeated" if senders else None


def _cut_short(run: Run, kills: Sequence[Kill]) -> str | None:
    for kill in kills:
        if run.pid not in kill.pids:
            continue
        if run.ended is None or run.ended > kill.at:  # death takes a moment to arrive
            return f"its {kill.what} was killed while it ran"
        if kill.at - run.ended < _UNSETTLED:
            return f"its {kill.what} was killed before the run was settled"
    return None


def _reruns(runs: Sequence[Run], kills: Sequence[Kill]) -> list[tuple[str, float]]:
    times = []
    for kill in kills:
        cut = {run.task for run in runs if run.pid in kill.pids}
        again = [run.began for run in runs if run.task in cut and run.pid not in kill.pids]
        later = [began for began in again if began > kill.at]
        times += [(kill.what, (min(later) - kill.at) / _NANO)] if later else []
    return times
