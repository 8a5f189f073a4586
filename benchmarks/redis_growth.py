"""How the cost of a task grows with the executors and with the queues of one worker, on Redis.

No-ops, drained by 1, 2, 4 and 8 executors from one queue, and by two from 1, 10 and 100 queues in
which they are evenly spread. The worker is stopped while they are filled; every task must have run,
once.

    python benchmarks/redis_growth.py [--runs 3] [--tasks 10000] [--only penstock,celery]
                                      [--json FILE]
"""

import argparse

import _marks
from _redis import redis_pid, redis_server
from _systems import SYSTEMS, WARM_UP, cpu, memory, placed, running, tree, wait
from _table import Table

EXECUTORS = (1, 2, 4, 8)  # on one queue
QUEUES = (10, 100)  # with two executors
FILL = {
    "penstock": "run.send_many([(n,) for n in range({first}, {last}, {step})], queue='{queue}')",
    "celery": "for n in range({first}, {last}, {step}): run.apply_async((n,), queue='{queue}')",
}
SHARE = {"celery": 0.2}  # of the tasks: a run takes seconds, too


def fill(place, count, queues):
    """Send tasks 0 to ``count``, each queue its share."""
    lines = [f"from {place.system.module} import *"]
    lines += [
        FILL[place.system.name].format(first=number, last=count, step=queues, queue=f"q{number}")
        for number in range(min(queues, count))
    ]
    place.python("\n".join(lines))


def drain(name, count, port, *, executors=2, queues=1):
    """Tasks a second, CPU seconds per 10,000 of the worker and of Redis, and its memory."""
    names = ",".join(f"q{number}" for number in range(queues))
    with placed(name, port, results=True) as place:
        command = [*SYSTEMS[name].worker(executors), "-Q", names]
        with running(command, place.folder, place.environment) as worker:
            fill(place, WARM_UP, queues)
            wait(lambda: _marks.done(place.folder, WARM_UP) == WARM_UP)
            with place.stopped(worker) as everyone:
                fill(place, count, queues)
                server = [redis_pid(port)]
                before, broker = cpu(everyone), cpu(server)
            wait(lambda: _marks.done(place.folder, count) == count, timeout=60 + count / 100)
            used, broker = cpu(everyone) - before, cpu(server) - broker
            taken = memory(tree(worker.pid))
            runs, seconds = _marks.read(place.folder, count)
    assert all(times == 1 for times in runs), f"{name}: not every task ran once"
    return {
        "tasks/s": (count - 1) / seconds,
        "worker CPU s/10k": used / count * 10_000,
        "broker CPU s/10k": broker / count * 10_000,
        "PSS MB": taken,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--only", default=",".join(FILL))
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table("more executors, more queues")
    with redis_server() as port:
        for _ in range(options.runs):
            for name in options.only.split(","):
                count = int(options.tasks * SHARE.get(name, 1))
                for executors in EXECUTORS:
                    row = f"{name}, {executors} executor{'s' * (executors > 1)}"
                    table.add(row, drain(name, count, port, executors=executors))
                for queues in QUEUES:
                    table.add(f"{name}, {queues} queues", drain(name, count, port, queues=queues))
    table.show("tasks/s", against="penstock, 2 executors")
    table.keep(options.json)


if __name__ == "__main__":
    main()
