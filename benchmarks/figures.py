"""All figures that the documentation shows: measured one after the other, kept raw, and drawn.

Each question is a script of this folder, run as given below. What it measured goes to
docs/figures/<name>.json, its picture beside it. On a machine with nothing else to do:

    python benchmarks/figures.py [--only redis-drain,redis-idle]
"""

import argparse
import subprocess
import sys
from pathlib import Path

import _plot

HERE = Path(__file__).parent
KEPT = HERE.parent / "docs" / "figures"
QUESTIONS = {
    "redis-drain": ("redis_drain.py", "--runs", "5"),
    "redis-drain-no-results": ("redis_drain.py", "--runs", "5", "--no-results"),
    "redis-drain-one-executor": (
        "redis_drain.py", "--runs", "5", "--executors", "1", "--only", "penstock,raw-100",
    ),
    "redis-enqueue": ("redis_enqueue.py",),
    "redis-idle": ("redis_idle.py", "--runs", "5"),
    "redis-load": ("redis_load.py",),
    "redis-async": ("redis_async.py", "--runs", "5"),
    "redis-backlog": ("redis_backlog.py",),
    "redis-payloads": ("redis_payloads.py", "--runs", "3"),
    "redis-events": ("redis_events.py",),
    "sqlite-drain": ("drain.py", "--runs", "5"),
    "postgres-idle": ("postgres_idle.py",),
}  # fmt: skip


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


if __name__ == "__main__":
    main()
