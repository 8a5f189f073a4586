"""Throughput floors: ratios to the raw limit of the same minute, against those of a known good run.

    python benchmarks/_check.py            fails where a ratio is more than 15 % below its floor
    python benchmarks/_check.py --update   writes the floors of this version

Each floor is a median of three alternating rounds; ratios, so that they hold on other machines.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import redis_drain
import redis_enqueue
from _redis import redis_server

FLOORS = Path(__file__).with_name("floors.json")
ALLOWED = 0.85
ROUNDS = 3


def drains(port):
    """No-ops on Redis with results, two executors and one, of bare pipelines of a hundred."""
    seen = {"two executors": [], "one executor": []}
    for _ in range(ROUNDS):
        raw = redis_drain.drain("raw-100", 20_000, port)["tasks/s"]
        for name, executors in (("two executors", 2), ("one executor", 1)):
            ours = redis_drain.drain("penstock", 10_000, port, executors=executors)["tasks/s"]
            seen[name].append(ours / raw)
    return {f"no-ops, {name}": statistics.median(values) for name, values in seen.items()}


def enqueues(port):
    """One call at a time of a bare RPUSH, many at once of a bare pipeline."""
    clear, works = redis_enqueue.measurements(port)
    asked = {"delay": "RPUSH", "send_many of 1,000": "pipeline of 1,000"}
    seen = {name: [] for name in asked}
    for turn in range(ROUNDS + 1):
        for name, raw in asked.items():
            ours, limit = (redis_enqueue.rate(*works[which]) for which in (name, raw))
            if turn:
                seen[name].append(ours / limit)
        clear()
    return {name: statistics.median(values) for name, values in seen.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    with redis_server() as port:
        ratios = enqueues(port) | drains(port)
    if options.update:
        text = json.dumps({name: round(value, 3) for name, value in ratios.items()}, indent=1)
        FLOORS.write_text(text + "\n", encoding="utf-8")
        print(text)
        return 0
    floors = json.loads(FLOORS.read_text(encoding="utf-8"))
    for name, value in ratios.items():
        held = value >= ALLOWED * floors[name]
        print(f"{'ok  ' if held else 'LOW '} {name:24}{value:7.1%}   known: {floors[name]:.1%}")
    return 0 if all(ratios[name] >= ALLOWED * floors[name] for name in floors) else 1


if __name__ == "__main__":
    sys.exit(main())
