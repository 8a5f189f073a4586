"""How soon an idle worker answers on RabbitMQ: one call at a time, from call to result.

penstock and Celery (for speed, and ``late`` for safety), each with its results in Redis and by
``rpc://``; in turn, on the same servers. CPU is that of the idle worker. The last row is the floor:
bare py-amqp and redis-py, one process that takes, runs and answers.

    python benchmarks/amqp_idle.py [--runs 3] [--calls 200] [--only penstock,celery] [--json FILE]
"""

import argparse
import time

from _machine import pace
from _rabbit import rabbit_server
from _redis import redis_server
from _systems import cpu, placed, tree
from _table import Table
from redis_idle import CLIENT

ASKED = ("penstock", "penstock rpc", "celery", "celery rpc", "celery-late", "raw-amqp")
QUIET = 2.0  # seconds of doing nothing


def measure(asked, calls, port, url):
    name, _, results = asked.partition(" ")
    backend = "rpc://" if results == "rpc" else ""
    with (
        placed(name, port, broker=url, backend=backend) as place,
        place.worker() as worker,
    ):
        trips = place.python(place.system.client() + CLIENT, calls).split()
        everyone = tree(worker.pid)
        before = cpu(everyone)
        time.sleep(QUIET)  # being idle is what is measured
        idle = (cpu(everyone) - before) / QUIET * 100
    p50, p99 = map(float, trips)
    return {"p50 ms": p50, "p99 ms": p99, "idle CPU %": idle}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--only", default=",".join(ASKED))
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table("one call at a time on RabbitMQ")
    with redis_server() as port, rabbit_server() as (url, _):
        for _ in range(options.runs):
            table.note(pace())
            for asked in options.only.split(","):
                table.add(asked, measure(asked, options.calls, port, url))
    table.show("p50 ms", against="penstock", less_is_better=True)
    table.keep(options.json)


if __name__ == "__main__":
    main()
