"""How fast one worker drains no-op tasks on Redis, and what it costs.

Each system has one worker with two executors (or one), in turn on the same Redis. It starts on an
empty queue, runs a few tasks, is stopped (SIGSTOP), the queue is filled, and it goes on; the rate
is (N-1) / (last run - first run), counted in the task's body. Every task must have run, once.

The last two rows are the ceiling: bare redis-py with four commands a task, one command at a time
and in pipelines of a hundred.

    python benchmarks/redis_drain.py [--runs 5] [--tasks 5000] [--executors 1] [--no-results]
                                     [--only penstock,celery] [--json FILE]
"""

import argparse

import _marks
from _redis import redis_pid, redis_server
from _systems import PEERS, SYSTEMS, cpu, placed, wait
from _table import Table

RAW = ("raw-one", "raw-100")
SLOW = 0.25  # of the tasks, for systems under a quarter of our rate: a run takes seconds, too


def drain(name, count, port, *, executors=2, results=True):
    """Tasks a second, and CPU seconds per 10,000 of the worker and of Redis."""
    with placed(name, port, results=results) as place, place.worker(executors) as worker:
        with place.stopped(worker) as everyone:
            place.send(0, count)
            server = [redis_pid(port)]
            before, broker = cpu(everyone), cpu(server)
        wait(lambda: _marks.done(place.folder, count) == count, timeout=60 + count / 100)
        used, broker = cpu(everyone) - before, cpu(server) - broker
        runs, seconds = _marks.read(place.folder, count)
    assert all(times == 1 for times in runs), f"{name}: not every task ran once"
    return {
        "tasks/s": (count - 1) / seconds,
        "worker CPU s/10k": used / count * 10_000,
        "broker CPU s/10k": broker / count * 10_000,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--executors", type=int, default=2)
    parser.add_argument("--no-results", action="store_true")
    parser.add_argument("--only", default=",".join((*PEERS, *RAW)))
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table(f"no-ops, {options.executors} executors", "results", not options.no_results)
    names = [name for name in SYSTEMS if name in options.only.split(",")]
    with redis_server() as port:
        for _ in range(options.runs):
            for name in names:
                slow = name not in {"penstock", "raw-100"}
                count = int(options.tasks * (SLOW if slow else 1))
                kept = not options.no_results
                try:
                    told = drain(name, count, port, executors=options.executors, results=kept)
                except AssertionError as error:  # a peer that stands still must not end it all
                    print(f"  {name}: {error}; this round is left out", flush=True)
                    continue
                table.add(name, told)
    table.show("tasks/s", against="penstock")
    table.keep(options.json)


if __name__ == "__main__":
    main()
