"""The figures as a table, what they mean for the goals, and all of it as JSON."""

import dataclasses
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

PACKAGES = ("penstock", "faster-fifo", "pyzmq", "janus", "culsans")


def show(title, questions, figures, options):
    print(f"\n{title}\n{machine()}\nmedians of {options.runs} rounds [min-max]\n")
    verdicts = []
    for question in questions:
        print_question(question, figures)
        verdicts += [judge(question, goal, figures) for goal in question.goals]
    print_verdicts(verdicts)
    if options.json:
        write(Path(options.json), questions, figures, verdicts)


def machine():
    versions = ", ".join(f"{name} {installed(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {versions}, core {core()}"
    )


def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


def core():
    """Which implementation is measured."""
    if os.environ.get("PENSTOCK_CORE") == "python":
        return "in Python"
    parts = ("items", "ring", "pipe")
    missing = [part for part in parts if not find_spec(f"penstock.queues._core._{part}")]
    return f"in Python: {', '.join(missing)}" if missing else "compiled"


def print_question(question, figures):
    print(f"{question.name} ({question.unit})")
    ours = middle_of(question, question.ours, figures)
    seen = [name for name in question.contenders if (question.name, name) in figures]
    for name in sorted(seen, key=lambda name: -speed(question, name, figures)):
        values = [figure[question.unit] for figure in figures[question.name, name]]
        spread = f"[{short(min(values))}-{short(max(values))}]"
        others = "  ".join(
            f"{key} {short(median(f[key] for f in figures[question.name, name]))}"
            for key in figures[question.name, name][0]
            if key not in {question.unit, "seconds"}
        )
        ratio = ours and speed(question, question.ours, figures) / speed(question, name, figures)
        beside = "" if name == question.ours or not ours else f"ours x {ratio:.2f}"
        print(f"  {name:34} {short(median(values)):>8} {spread:18} {beside:14} {others}".rstrip())
    missing = [name for name in question.contenders if name not in seen]
    if missing:
        print(f"  not measured: {', '.join(missing)}")
    print()


def short(value):
    """1230000 -> 1.23M, 0.1234 -> 0.123."""
    for size, sign in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{sign}"
    return f"{value:.3g}"


def middle_of(question, contender, figures):
    rounds = figures.get((question.name, contender))
    return median(figure[question.unit] for figure in rounds) if rounds else None


def speed(question, contender, figures):
    """More is better, whatever the unit."""
    value = middle_of(question, contender, figures)
    return 1 / value if question.less_is_better else value


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`got` is the speed in units of what the goal is measured against: 1.0 or more reaches it."""

    question: str
    goal: str
    stretch: bool
    wanted: float
    got: float | None

    @property
    def reached(self):
        return None if self.got is None else self.got >= self.wanted


def judge(question, goal, figures):
    over = [name for name in goal.over if (question.name, name) in figures]
    got = None
    if (question.name, question.ours) in figures and (over or goal.figure):
        ours = speed(question, question.ours, figures)
        figure = goal.figure and (1 / goal.figure if question.less_is_better else goal.figure)
        got = ours / (figure or max(speed(question, name, figures) for name in over))
    return Verdict(question.name, goal.text, goal.stretch, goal.factor, got)


def print_verdicts(verdicts):
    if not verdicts:
        return
    print(f"{'question':44}{'target':42}{'needed':>8}{'got':>8}  reached")
    for verdict in verdicts:
        text = f"{'(stretch) ' if verdict.stretch else ''}{verdict.goal}"
        got = "-" if verdict.got is None else f"{verdict.got:.2f}"
        answer = {True: "yes", False: "NO", None: "not measured"}[verdict.reached]
        print(f"{verdict.question:44}{text:42}{verdict.wanted:>8.2f}{got:>8}  {answer}")


def write(path, questions, figures, verdicts):
    cells = [
        {"question": q.name, "unit": q.unit, "contender": name, "rounds": figures[q.name, name]}
        for q in questions
        for name in q.contenders
        if (q.name, name) in figures
    ]
    goals = [dataclasses.asdict(v) | {"reached": v.reached} for v in verdicts]
    whole = {
        "program": Path(sys.argv[0]).name,
        "machine": machine(),
        "cells": cells,
        "goals": goals,
    }
    path.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
