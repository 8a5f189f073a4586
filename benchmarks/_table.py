"""Rounds of several contenders as one table: medians with their spread, and ratios."""

import json
import math
import platform
import statistics
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Table", "beside", "number", "processor"]


class Table:
    """What was measured: a contender's figures, round by round."""

    def __init__(self, question, *settings):
        self.question = question
        self.settings = settings
        self.rounds = {}
        self.beside = []

    def note(self, figures):
        """What the machine itself took in a round."""
        self.beside.append(figures)
        said = "  ".join(f"{name} {number(value)}" for name, value in figures.items())
        print(f"  ({said})", flush=True)

    def add(self, contender, figures):
        """One round; it is shown as it comes."""
        self.rounds.setdefault(contender, []).append(figures)
        said = "  ".join(f"{name} {number(value)}" for name, value in figures.items())
        print(f"  {contender:24}{said}", flush=True)

    def middle(self, contender, figure):
        """The median of its rounds."""
        return statistics.median(self._values(contender, figure))

    def _values(self, contender, figure):
        return [figures[figure] for figures in self.rounds[contender]]

    def show(self, main, *, against=None, less_is_better=False):
        """Print all medians, the main figure with its spread, and how it compares."""
        others = [name for name in next(iter(self.rounds.values()))[0] if name != main]
        print(f"\n{self.question}  {' '.join(map(str, self.settings))}")
        head = f"{'':24}{main:>14}{'min-max':>18}" + "".join(f"{name:>20}" for name in others)
        print(head + (f"{against + ' is':>18}" if against in self.rounds else ""))
        for contender in self.rounds:
            values = self._values(contender, main)
            spread = f"{number(min(values))}-{number(max(values))}"
            line = f"{contender:24}{number(self.middle(contender, main)):>14}{spread:>18}"
            line += "".join(f"{number(self.middle(contender, name)):>20}" for name in others)
            print(line + self._compared(contender, main, against, less=less_is_better))
        if self.beside:
            print(f"the machine itself: {beside(self.beside)}")

    def _compared(self, contender, figure, against, *, less):
        if against not in self.rounds or contender == against:
            return ""
        ratio = self.middle(against, figure) / self.middle(contender, figure)
        return f"{f'{1 / ratio if less else ratio:.2f} x':>18}"

    def keep(self, file):
        """Write the raw rounds, with what they were measured on, for plots and comparisons."""
        if file:
            machine = {
                "python": platform.python_version(),
                "system": platform.platform(),
                "processor": processor(),
            }
            what = {"question": self.question, "settings": list(map(str, self.settings))}
            when = {"measured": datetime.now(UTC).isoformat(timespec="seconds")}
            data = what | when | {"machine": machine, "rounds": self.rounds}
            if self.beside:
                data["beside"] = self.beside
            Path(file).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def processor(told=Path("/proc/cpuinfo")):
    """Which one the system names; empty where it names none. Clouds tell generations by number."""
    if not told.exists():
        return platform.processor()
    lines = (line.partition(":") for line in told.read_text(encoding="utf-8").splitlines())
    facts = {name.strip(): value.strip() for name, _, value in reversed(list(lines))}
    kind, family, model = (facts.get(k, "") for k in ("model name", "cpu family", "model"))
    return f"{kind}, family {family}, model {model}" if family else kind


def beside(noted):
    """Medians and ranges of what was noted round by round, in words."""
    parts = []
    for name in noted[0]:
        values = [each[name] for each in noted]
        spread = f"{number(min(values))}-{number(max(values))}"
        parts.append(f"{name} {number(statistics.median(values))} ms ({spread})")
    return ", ".join(parts)


def number(value):
    """A figure as people read it; there is none for what a contender has not."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
