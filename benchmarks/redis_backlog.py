"""Whether a long queue slows a worker, and what a waiting task takes of the server's memory.

Drains 20,000 tasks from the head of a queue of 1,000,000 and of one of 1,000 (again and again),
and counts the server's bytes for each of a million waiting tasks and of 10,000 delayed ones.

    python benchmarks/redis_backlog.py [--runs 3] [--backlog 1000000] [--json FILE]
"""

import argparse
import time

import _marks
import redis
from _redis import redis_server
from _systems import placed, wait
from _table import Table

DELAYED = 10_000
LATER = """
import time
for _ in range({count}):
    run.apply_async((0,), countdown=3600)
"""


def used(server):
    return server.info("memory")["used_memory"]


def drain(count, measured, port):
    """Tasks a second over the first ``measured`` of ``count`` that wait; bytes of each."""
    server = redis.Redis(port=port)
    server.flushall()
    with placed("penstock", port) as place, place.worker() as worker:
        with place.stopped(worker):
            before = used(server)
            place.send(0, count)
            each = (used(server) - before) / count
        began = time.monotonic()
        wait(lambda: _marks.done(place.folder, count) >= measured, timeout=120)
        ran, seconds = _marks.done(place.folder, count), time.monotonic() - began
    return {"tasks/s": ran / seconds, "bytes each": each}


def delayed(port):
    """Bytes of each delayed task, parked by a worker that met it."""
    server = redis.Redis(port=port)
    server.flushall()
    with placed("penstock", port) as place:
        before = used(server)
        code = f"from {place.system.module} import *\n" + LATER.format(count=DELAYED)
        place.python(code)
        sent = (used(server) - before) / DELAYED
        with place.worker(warm=False):
            wait(lambda: server.zcard("penstock.delayed") == DELAYED)
            return sent, (used(server) - before) / DELAYED


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table("a long queue")
    with redis_server() as port:
        for _ in range(options.runs):
            table.add("20,000 of 20,000", drain(20_000, 20_000, port))
            table.add(f"20,000 of {options.backlog:,}", drain(options.backlog, 20_000, port))
        sent, parked = delayed(port)
    table.show("tasks/s", against=f"20,000 of {options.backlog:,}")
    table.keep(options.json)
    print(f"{DELAYED:,} delayed tasks: {sent:,.0f} bytes each as sent, {parked:,.0f} parked")


if __name__ == "__main__":
    main()
