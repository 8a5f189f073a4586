"""Whether a million messages that wait make a worker slower: drained beside a thousand.

The same worker, on one server with durable commits: first it drains a thousand, several times over,
then some seconds of a backlog of a million, while as many new ones come in as it takes out.

    python benchmarks/postgres_backlog.py [--backlog 1000000] [--seconds 20]
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import _marks
from _postgres import postgres_server
from drain import HERE, penstock_worker, running, tree, wait

SMALL, TURNS = 1_000, 9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="drain-")).resolve()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(postgres_server())
        settings = {
            "MARKS": str(folder),
            "PYTHONPATH": str(HERE.resolve()),
            "APP": json.dumps({"broker": url}),
        }
        os.environ.update(settings)
        from _app_penstock import run

        worker = stack.enter_context(running(penstock_worker(), folder, dict(os.environ)))
        run.send_many([(n,) for n in range(50)])
        wait(lambda: _marks.done(folder, 50) == 50)
        small = [drained(run, folder, worker.pid) for _ in range(TURNS)]
        few = statistics.median(small)
        print(f"  {SMALL:>9,} waiting: {few:,.0f} tasks/s ({min(small):,.0f}-{max(small):,.0f})")
        many, deviation = under(run, folder, worker.pid, options)
        print(f"  {options.backlog:>9,} waiting: {many:,.0f} tasks/s ({deviation})")
        print(f"{many / few:.0%} (aim: 85 %)")


@contextlib.contextmanager
def stopped(pid):
    """The worker stands still while its queue is filled."""
    time.sleep(0.5)  # the last one is settled: nobody is stopped within a transaction
    everyone = tree(pid)
    for one in everyone:
        os.kill(one, 19)
    yield
    for one in everyone:
        os.kill(one, 18)


def drained(run, folder, pid):
    with stopped(pid):
        _marks.clear(folder)
        run.send_many([(n,) for n in range(SMALL)])
    wait(lambda: _marks.done(folder, SMALL) == SMALL)
    return (SMALL - 1) / _marks.read(folder, SMALL)[1]


def under(run, folder, pid, options):
    with stopped(pid):
        _marks.clear(folder)
        for start in range(0, options.backlog, 10_000):
            run.send_many([(n,) for n in range(start, min(start + 10_000, options.backlog))])
    began = time.monotonic()
    ended = threading.Event()
    churn = threading.Thread(target=refill, args=(run, folder, options.backlog, ended))
    churn.start()
    time.sleep(options.seconds)  # what is measured
    done, took = _marks.done(folder, options.backlog), time.monotonic() - began
    ended.set()
    churn.join()
    return done / took, f"{done:,} in {took:.0f} s"


def refill(run, folder, backlog, ended):
    """New ones, as many as are taken out."""
    sent = 0
    while not ended.wait(0.2):
        done = _marks.done(folder, backlog)
        if done - sent >= 1_000:
            run.send_many([(backlog + 1,)] * (done - sent))
            sent = done


if __name__ == "__main__":
    main()
