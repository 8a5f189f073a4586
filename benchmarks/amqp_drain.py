"""How fast one worker drains no-op tasks on RabbitMQ, with the results in Redis; and idle trips.

Each system has one worker with two executors, in turn on the same two servers. It starts on an
empty queue, runs a few tasks, is stopped (SIGSTOP), the queue is filled, and it goes on; the rate
is (N-1) / (last run - first run), counted in the task's body. Every task must have run, once.
penstock's messages are confirmed and its acknowledgements late; Celery is set up for speed
(acknowledged before the run), and as ``celery-late`` for safety. Then calls one at a time, each
waiting for its result.

    python benchmarks/amqp_drain.py [--runs 3] [--tasks 10000] [--calls 300] [--no-results]
                                    [--only penstock,celery] [--json FILE]
"""

import argparse

import _marks
from _rabbit import rabbit_server
from _redis import redis_server
from _systems import SYSTEMS, cpu, placed, wait
from _table import Table
from redis_idle import CLIENT

NAMES = ("penstock", "celery", "celery-late")
SLOW = 0.25  # of the tasks, for who takes four times as long for each


def measure(name, count, calls, servers, *, results):
    """Tasks a second, CPU seconds per 10,000 of worker and RabbitMQ, and milliseconds of a trip."""
    port, url, server = servers
    with (
        placed(name, port, results=results, broker=url) as place,
        place.worker(2) as worker,
    ):
        with place.stopped(worker) as everyone:
            place.send(0, count)
            before, broker = cpu(everyone), cpu([server])
        wait(lambda: _marks.done(place.folder, count) == count, timeout=60 + count / 100)
        used, broker = cpu(everyone) - before, cpu([server]) - broker
        runs, seconds = _marks.read(place.folder, count)
        trips = place.python(place.system.client() + CLIENT, calls).split() if results else ()
    assert all(times == 1 for times in runs), f"{name}: not every task ran once"
    found = {
        "tasks/s": (count - 1) / seconds,
        "worker CPU s/10k": used / count * 10_000,
        "RabbitMQ CPU s/10k": broker / count * 10_000,
    }
    return found | dict(zip(("trip p50 ms", "trip p99 ms"), map(float, trips), strict=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--no-results", action="store_true")
    parser.add_argument("--only", default=",".join(NAMES))
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table("no-ops on RabbitMQ, 2 executors", "results in Redis", not options.no_results)
    with redis_server() as port, rabbit_server() as (url, server):
        for _ in range(options.runs):
            for name in (name for name in SYSTEMS if name in options.only.split(",")):
                count = int(options.tasks * (1 if name == "penstock" else SLOW))
                servers = (port, url, server)
                kept = not options.no_results
                table.add(name, measure(name, count, options.calls, servers, results=kept))
    table.show("tasks/s", against="penstock")
    table.keep(options.json)


if __name__ == "__main__":
    main()
