"""All figures that the documentation shows: measured one after the other, kept raw, and drawn.

Each question is a script of this folder, run as given below. What it measured goes to
docs/figures/<name>.json, its picture beside it. On a machine with nothing else to do:

    python benchmarks/figures.py [--only redis-drain,redis-idle]
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import _plot
from _table import beside, number

HERE = Path(__file__).parent
KEPT = HERE.parent / "docs" / "figures"
HEAD = """# Figures, as measured

Written by `make figures` from the raw rounds, which lie beside it as JSON. Every system in a table
was measured in the same run, in turn. What the figures say is on [the page](../performance.md).
"""
QUESTIONS = {
    "redis-drain": (
        "redis_drain.py", "--runs", "2", "--only", "penstock,celery,huey,taskiq,raw-100",
    ),
    "redis-drain-no-results": ("redis_drain.py", "--runs", "2", "--no-results"),
    "redis-drain-one-executor": (
        "redis_drain.py", "--runs", "2", "--executors", "1", "--only", "penstock,raw-100",
    ),
    "redis-enqueue": ("redis_enqueue.py",),
    "redis-idle": ("redis_idle.py", "--runs", "5"),
    "redis-load": ("redis_load.py", "--runs", "2", "--seconds", "4"),
    "redis-async": ("redis_async.py", "--runs", "3"),
    "redis-backlog": ("redis_backlog.py",),
    "redis-payloads": ("redis_payloads.py", "--runs", "2"),
    "redis-events": ("redis_events.py",),
    "redis-growth": ("redis_growth.py", "--runs", "2"),
    "sqlite-drain": ("drain.py", "--runs", "3"),
    "sqlite-idle": ("idle.py", "--runs", "7"),
    "postgres-idle": ("postgres_idle.py",),
    "amqp-drain": ("amqp_drain.py",),
    "amqp-idle": ("amqp_idle.py",),
}  # fmt: skip


def write_page():
    """docs/figures/README.md: for each question its command, its table, its picture."""
    parts = [HEAD]
    for name, (script, *words) in QUESTIONS.items():
        files = sorted(KEPT.glob(f"{name}.json")) or sorted(KEPT.glob(f"{name}-*.json"))
        for file in files:
            kept = json.loads(file.read_text(encoding="utf-8"))
            parts.append(section(kept, file.stem, " ".join((script, *words))))
    (KEPT / "README.md").write_text("\n".join(parts), encoding="utf-8")


def section(kept, name, command):
    """One question: medians, the first figure with its spread, and the picture."""
    rounds = kept["rounds"]
    figures = list(next(iter(rounds.values()))[0])
    main, *others = figures
    lines = [
        f"## {kept['question'][0].upper()}{kept['question'][1:]}",
        "",
        (
            f"`python benchmarks/{command}`, {kept['measured'][:10]}{processor_of(kept)}; "
            f"medians of {len(next(iter(rounds.values())))} alternating rounds, "
            "their range behind the first."
        ),
        "",
        "| | " + " | ".join((main, "range", *others)) + " |",
        "| --- " * (len(figures) + 2) + "|",
    ]
    for who, told in rounds.items():
        values = [each[main] for each in told]
        middles = [
            number(statistics.median(values)),
            f"{number(min(values))}-{number(max(values))}",
        ]
        middles += [number(statistics.median(each[other] for each in told)) for other in others]
        lines.append(f"| {who} | " + " | ".join(middles) + " |")
    if "beside" in kept:
        lines += ["", f"The machine itself, in the same rounds: {beside(kept['beside'])}."]
    return "\n".join([*lines, "", f"![{kept['question']}]({name}.svg)", ""])


def processor_of(kept):
    """Behind the date, where it was kept."""
    named = kept["machine"].get("processor")
    return f", on {named}" if named else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(QUESTIONS))
    options = parser.parse_args()
    KEPT.mkdir(exist_ok=True)
    for name in options.only.split(","):
        script, *words = QUESTIONS[name]
        print(f"== {name}: {script} {' '.join(words)}", flush=True)
        file = KEPT / f"{name}.json"
        subprocess.run([sys.executable, HERE / script, *words, "--json", file], check=True)
        for drawn in KEPT.glob(f"{name}*.json"):
            _plot.draw(drawn)
    write_page()


if __name__ == "__main__":
    main()
