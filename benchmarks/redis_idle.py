"""How soon an idle worker answers, how soon it starts, and what it takes, on Redis.

Call to result one at a time (p50, p99); from the start of the command to the end of a task that
waits already; memory of all its processes (PSS); CPU while nothing happens.

    python benchmarks/redis_idle.py [--runs 5] [--calls 300] [--only penstock,celery] [--json FILE]
"""

import argparse
import time

import _marks
from _machine import pace
from _redis import redis_server
from _systems import SYSTEMS, cpu, memory, placed, tree, wait
from _table import Table

ASKED = ("penstock", "celery", "huey-told", "dramatiq", "taskiq", "raw-one")
CLIENT = """
import sys, time
for _ in range(20):
    call(0)
times = []
for n in range(int(sys.argv[1])):
    began = time.perf_counter()
    assert call(n) == n
    times.append(time.perf_counter() - began)
times.sort()
print(times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000)
"""
QUIET = 3.0  # seconds of doing nothing


def measure(name, calls, port):
    with placed(name, port) as place:
        place.send(0, 1)
        began = time.monotonic()
        with place.worker(warm=False) as worker:
            wait(lambda: _marks.done(place.folder, 1) == 1)
            start = time.monotonic() - began
            trips = place.python(place.system.client() + CLIENT, calls).split()
            everyone = tree(worker.pid)
            before = cpu(everyone)
            time.sleep(QUIET)  # being idle is what is measured
            idle = (cpu(everyone) - before) / QUIET * 100
            taken = memory(everyone)
    p50, p99 = map(float, trips)
    return {"p50 ms": p50, "p99 ms": p99, "start s": start, "PSS MB": taken, "idle CPU %": idle}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--only", default=",".join(ASKED))
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table("one call at a time")
    with redis_server() as port:
        for _ in range(options.runs):
            table.note(pace())
            for name in (name for name in SYSTEMS if name in options.only.split(",")):
                table.add(name, measure(name, options.calls, port))
    table.show("p50 ms", against="penstock", less_is_better=True)
    table.keep(options.json)


if __name__ == "__main__":
    main()
