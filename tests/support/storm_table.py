"""What the storms reached, beside what they have to reach: one table at the end."""

from collections import Counter
from typing import NamedTuple

from penstock.testing.history.judge import percentile

__all__ = ["Line", "broker_row", "lines", "table"]

PROCESSES = ("executor", "worker", "zygote", "client")
PROMISES = (
    "lost", "phantom", "rerun after settlement", "unexplained duplicate", "stale write",
)  # fmt: skip
LEAKS = ("leak", "no process is left", "the log stays bounded")
HEADER = (
    "| broker | acknowledged | struck | lost | twice, with a cause | without | rerun after "
    "settlement | executor killed to rerun, p50 / p99 | worker killed to rerun, p50 / p99 | "
    "next executor ready, p50 / p99 | server back to the next start, p50 / p99 |"
)


class Line(NamedTuple):
    """One figure: what is wanted, what was reached, and whether that is enough."""

    figure: str
    wanted: str
    reached: str
    met: bool

    def __str__(self):
        return f"| {self.figure} | {self.wanted} | {self.reached} | {'yes' if self.met else 'NO'} |"


def lines(reports):
    """The table over all storms of a run."""
    counts = sum((report.counts for report in reports), Counter())
    faults = sum((report.faults for report in reports), Counter())
    broken = sum((report.broken for report in reports), Counter())
    yield _at_least("acknowledged tasks checked", 100_000, counts["acknowledged"])
    yield _at_least("process kills", 400, sum(faults[kind] for kind in PROCESSES))
    yield _at_least("server kills", 30, faults["server"])
    yield _at_least("network cuts", 300, faults["cut"])
    for promise in PROMISES:
        yield _none(promise, broken[promise])
    yield _within(reports, "executor", "executor killed to rerun, p99", 0.3)
    yield _within(reports, "worker", "whole worker killed to rerun, p99", 2.0)
    yield _within(reports, "server", "server back to consuming, p99", 3.0)
    yield _within(reports, "slot", "executor slot restored, p99", 0.1)
    yield _none("growth of memory, descriptors, processes", sum(broken[leak] for leak in LEAKS))
    rest = broken - Counter({name: broken[name] for name in (*PROMISES, *LEAKS, "too slow")})
    yield _none("anything else", sum(rest.values()))


def _at_least(figure, wanted, reached):
    return Line(figure, f"≥ {wanted:,}", f"{reached:,}", reached >= wanted)


def _none(figure, count):
    return Line(figure, "0", str(count), not count)


def _within(reports, what, figure, bound):
    times = [value for report in reports for value in report.times.get(what, ())]
    if not times:
        return Line(figure, f"≤ {bound:g} s", "not measured", met=False)
    p99 = percentile(times, 99)
    return Line(figure, f"≤ {bound:g} s", f"{p99:.3f} s of {len(times)}", p99 <= bound)


def broker_row(name, report):
    """One broker's line of the published table."""
    struck = ", ".join(f"{count} {kind}" for kind, count in sorted(report.faults.items()))
    times = (_pair(report, what) for what in ("executor", "worker", "slot", "server"))
    counts, broken = report.counts, report.broken
    cells = (
        name, f"{counts['acknowledged']:,}", struck, broken["lost"],
        counts["run twice with a cause"], counts["without"], broken["rerun after settlement"],
        *times,
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def _pair(report, what):
    if (half := report.p(what, 50)) is None:
        return "-"
    return f"{half * 1000:.0f} / {report.p(what, 99) * 1000:.0f} ms"


def table(named):
    """All of it as Markdown, of (broker, report)s; and whether every figure is met."""
    found = list(lines([report for _, report in named]))
    text = [HEADER, "|" + " --- |" * HEADER.count(" | ") + " --- |"]
    text += [broker_row(name, report) for name, report in named]
    text += ["", "| figure | wanted | reached | met |", "| --- | --- | --- | --- |"]
    text += map(str, found)
    missed = [line.figure for line in found if not line.met]
    text.append("")
    text.append("missed: " + ", ".join(missed) if missed else "every figure is met")
    return "\n".join(text), not missed
