"""The verdict over a history: what was broken, and how fast things came back (C9)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.testing.history.checks import CHECKS, Violation, pairs, slots
from penstock.testing.history.record import Event
from penstock.testing.history.rules import Rules
from penstock.testing.history.story import SECOND, Fault, Story

__all__ = ["Report", "judge", "percentile"]

_EXECUTOR, _WORKER, _SERVER, _SLOT = "executor", "worker", "server", "slot"
_SAYS = {
    _EXECUTOR: "executor killed to its task running again",
    _WORKER: "worker killed to its task running again",
    _SERVER: "server back to the next start",
    _SLOT: "executor killed to the next one ready",
}


@dataclass(slots=True)
class Report:
    """What a history proves. Times are seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Nothing was broken."""
        return not self.violations

    @property
    def broken(self) -> Counter[str]:
        """How often each promise was broken."""
        return Counter(violation.check for violation in self.violations)

    def p(self, what: str, percent: float) -> float | None:
        """A percentile of ``executor``, ``worker``, ``server`` or ``slot``; None without any."""
        values = self.times.get(what)
        return percentile(values, percent) if values else None

    def lines(self) -> Iterator[str]:
        """The report for people."""
        yield "  ".join(f"{name} {number}" for name, number in self.counts.items())
        yield "faults: " + ("  ".join(f"{k} {n}" for k, n in sorted(self.faults.items())) or "none")
        for what, text in _SAYS.items():
            if values := self.times.get(what):
                p50, p99 = percentile(values, 50), percentile(values, 99)
                yield (
                    f"{text} ({len(values)} times): "
                    f"p50 {p50:.3f} s, p99 {p99:.3f} s, max {max(values):.3f} s"
                )
        yield from self._verdict()

    def _verdict(self) -> Iterator[str]:
        if self.clean:
            acked = self.counts["acknowledged"]
            bound = f"; at 95 % fewer than {3 / acked:.1e} per task" if acked else ""
            yield f"nothing broken{bound}"
        for check, number in self.broken.most_common():
            yield f"BROKEN {check}: {number}"
            first = [v for v in self.violations if v.check == check][:3]
            yield from (f"    {violation.id} {violation.text}" for violation in first)

    def as_dict(self) -> dict[str, Any]:
        """The figures, for a table."""
        times = {
            f"{what}_p{percent}": self.p(what, percent) for what in _SAYS for percent in (50, 99)
        }
        return {
            "counts": dict(self.counts), "faults": dict(self.faults),
            "broken": dict(self.broken), **times,
        }  # fmt: skip


def judge(events: Iterable[Event], rules: Rules | None = None) -> Report:
    """Judge a history."""
    rules = rules or Rules()
    story = Story(events)
    report = Report()
    for check in CHECKS:
        report.violations.extend(check(story, rules))
    _count(report, story, rules)
    _time(report, story, rules)
    report.violations.extend(_too_slow(report, rules))
    return report


def _count(report: Report, story: Story, rules: Rules) -> None:
    tasks = story.tasks.values()
    causes = [cause for task, _, _, cause in pairs(story, rules) if not task.poison]
    acked = sum(task.acked is not None for task in tasks)
    report.counts.update(
        {
            "attempted": sum(task.invoked is not None for task in tasks),
            "acknowledged": acked,
            "unsure that ran": sum(
                bool(t.runs) and t.acked is None and t.invoked is not None for t in tasks
            ),
            "runs": sum(len(task.runs) for task in tasks),
            "run twice with a cause": sum(cause is not None for cause in causes),
            "without": sum(cause is None for cause in causes),
            "dead letters": sum(bool(task.dead) for task in tasks),
        }
    )
    report.faults.update(fault.kind for fault in story.faults)


def _time(report: Report, story: Story, rules: Rules) -> None:
    times = report.times
    for _, run, again, cause in pairs(story, rules):
        if cause is None or run.end is not None:
            continue
        kind = {"executor": _EXECUTOR, "worker": _WORKER, "supervisor": _WORKER}.get(cause.kind)
        if kind is not None and not story.disturbed(run.pid, cause.begin, again.start, but=cause):
            times.setdefault(kind, []).append((again.start - cause.begin) / SECOND)
    if back := list(_server_back(story)):
        times[_SERVER] = back
    times[_SLOT] = list(slots(story))


def _server_back(story: Story) -> Iterator[float]:
    """How long nothing began although the server was in reach and a worker was there all the time.

    Where every worker was struck as well, that says how long a new one takes to come up. A line
    that is cut, or a server that dies once more, before anybody has begun starts the clock anew.
    """
    starts = story.starts()
    chains: dict[int, list[Fault]] = {}  # faults of the broker, by the first start after them
    for fault in story.cuts():
        place = bisect_right(starts, fault.end)
        if place < len(starts):
            chains.setdefault(starts[place], []).append(fault)
    for start, chain in chains.items():
        servers = [fault.begin for fault in chain if fault.kind == "server"]
        if servers and story.served(min(servers), start):
            yield (start - max(fault.end for fault in chain)) / SECOND


def _too_slow(report: Report, rules: Rules) -> Iterator[Violation]:
    bounds = {
        _EXECUTOR: rules.executor_rerun_p99,
        _WORKER: rules.worker_rerun_p99,
        _SERVER: rules.server_back_p99,
        _SLOT: rules.slot_p99,
    }
    for what, bound in bounds.items():
        value = report.p(what, 99)
        if bound is not None and value is not None and value > bound:
            yield Violation("too slow", "", f"{_SAYS[what]}: p99 {value:.3f} s, bound {bound} s")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many per cent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
