"""Questions, and how they are measured: every contender in turn, each in a fresh interpreter.

A script of this folder gives `main` a list of questions and a function `measure`. The script then
runs itself once for each contender of each question, in rounds (A B C, A B C ...), so that a busy
moment of the machine hits all of them; the figures are medians of the rounds.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys

import _table

LIMIT = 60.0  # seconds that one measurement may take


@dataclasses.dataclass(frozen=True)
class Goal:
    """Ours is to be `factor` times as fast as the fastest of `over`; or as fast as `figure`."""

    text: str
    factor: float = 1.0
    over: tuple[str, ...] = ()
    figure: float | None = None
    stretch: bool = False


@dataclasses.dataclass(frozen=True)
class Question:
    """One row of cells. `ours` is the contender that the goals are for."""

    name: str
    contenders: tuple[str, ...]
    ours: str
    goals: tuple[Goal, ...] = ()
    facts: dict = dataclasses.field(default_factory=dict)  # what `measure` needs to know
    unit: str = "msgs/s"  # the key of the figure that counts in what `measure` returns
    less_is_better: bool = False
    first: int = 2_000  # messages of a short measurement, which finds out how many are right
    counted: bool = True  # whether `measure` takes the time that its count takes


def main(doc, questions, measure, **facts):
    """Ask all questions, or (when started by itself for one contender) measure that one."""
    options = arguments(doc)
    if options.cell:
        cell = json.loads(options.cell)
        print(json.dumps(measure(cell["contender"], cell["count"], **cell["facts"])))
        return
    chosen = [q for q in questions if re.search(options.only, q.name)]
    rounds = Rounds(chosen, options, facts)
    rounds.run()
    _table.show(doc.splitlines()[0], chosen, rounds.figures, options)


def arguments(doc):
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="rounds (medians are shown)")
    parser.add_argument("--seconds", type=float, default=0.4, help="of one measurement, about")
    parser.add_argument("--only", default="", help="questions whose name matches this expression")
    parser.add_argument("--against", default="", help="contenders whose name matches; ours always")
    parser.add_argument("--quick", action="store_true", help="one short round: does it work?")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.runs, options.seconds = 1, 0.05
    return options


class Rounds:
    """All measurements of one script. `figures[question, contender]`: one dict for each round."""

    def __init__(self, questions, options, facts):
        self.questions, self.options, self.facts = questions, options, facts
        self.figures, self.counts = {}, {}

    def run(self):
        for _ in range(self.options.runs):
            for question in self.questions:
                for contender in question.contenders:
                    if self.wanted(question, contender):
                        self.take(question, contender)
            self.tell()

    def wanted(self, question, contender):
        return contender == question.ours or re.search(self.options.against, contender)

    def take(self, question, contender):
        cell = (question.name, contender)
        if cell not in self.counts:
            self.counts[cell] = self.calibrate(question, contender)
        if self.counts[cell]:
            found = self.measure(question, contender, self.counts[cell])
            if found:
                self.figures.setdefault(cell, []).append(found)

    def calibrate(self, question, contender):
        """How many messages take about the seconds wished for; 0 where it does not work at all."""
        count = question.first
        for _ in range(2 if question.counted else 0):
            found = self.measure(question, contender, count)
            if not found:
                return 0
            count = max(count, int(count * self.options.seconds / found["seconds"]))
            if found["seconds"] > self.options.seconds / 4:
                break
        return count

    def measure(self, question, contender, count):
        facts = question.facts | self.facts
        cell = json.dumps({"contender": contender, "count": count, "facts": facts})
        process = subprocess.Popen(
            [sys.executable, sys.argv[0], "--cell", cell],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        out = b""
        try:
            out, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            pass  # it hangs: said below
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and whoever it left behind
            process.wait()
        if process.returncode:
            print(f"!! {question.name}: {contender} failed", file=sys.stderr, flush=True)
            return None
        return json.loads(out)

    def tell(self):
        done = max(map(len, self.figures.values()), default=0)
        print(f"round {done} of {self.options.runs}", file=sys.stderr, flush=True)
