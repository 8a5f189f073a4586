"""The table at the end of `make faults`: what is missed stands there, and is counted."""

from collections import Counter

from penstock.testing.history.checks import Violation
from penstock.testing.history.judge import Report
from storm_table import lines, table


def report(**more):
    times = {"executor": [0.05] * 10, "worker": [0.4], "server": [0.2], "slot": [0.06]}
    faults = Counter(executor=300, worker=80, client=20, server=30, cut=300, stop=5)
    return Report(
        counts=Counter({"acknowledged": 100_000}), faults=faults,
        times=times | more.pop("times", {}),
        violations=[Violation(check, "t", "") for check in more.pop("broken", ())],
    )  # fmt: skip


def missed(*reports):
    return [line.figure for line in lines(reports) if not line.met]


def test_all_is_met():
    assert missed(report()) == []
    text, met = table([("sqlite", report())])
    assert met
    assert text.endswith("every figure is met")
    assert "| sqlite | 100,000 | 20 client, 300 cut, 300 executor," in text


def test_reports_add_up():
    half = Report(counts=Counter({"acknowledged": 50_000}), faults=Counter(executor=200, cut=10))
    assert missed(half)[:4] == [
        "acknowledged tasks checked", "process kills", "server kills", "network cuts",
    ]  # fmt: skip
    assert missed(half, half)[:2] == ["server kills", "network cuts"]


def test_what_is_broken_and_what_is_slow():
    assert missed(report(broken=["lost", "leak", "silence"])) == [
        "lost", "growth of memory, descriptors, processes", "anything else",
    ]  # fmt: skip
    assert missed(report(times={"executor": [0.31]})) == ["executor killed to rerun, p99"]
    text, met = table([("redis", report(times={"server": [9.0]}))])
    assert not met
    assert text.endswith("missed: server back to consuming, p99")


def test_what_was_not_measured_is_not_met():
    assert "whole worker killed to rerun, p99" in missed(report(times={"worker": []}))
