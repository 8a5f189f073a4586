"""Whether a million messages that wait make a worker slower: drained beside a thousand.

The same worker, on one server with durable commits. First it drains a thousand, several times
over, then some seconds of a backlog of a million, which was vacuumed as autovacuum does it by and
by. Then the same with churn: as many new ones come in as it takes out, beside a backlog that is
kept at a thousand so.

    python benchmarks/postgres_backlog.py [--backlog 1000000] [--seconds 15]
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
import psycopg
from _postgres import postgres_server
from drain import HERE, penstock_worker, running, tree, wait

SMALL, TURNS = 1_000, 9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=15.0)
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
        kept = under(run, folder, worker, SMALL, options.seconds, churn=True)
        print(f"  {SMALL:>9,} kept:    {kept:,.0f} tasks/s")
        fill(run, folder, worker, options.backlog, url)
        many = under(run, folder, worker, options.backlog, options.seconds)
        print(f"  {options.backlog:>9,} waiting: {many:,.0f} tasks/s, {many / few:.0%} (aim: 85 %)")
        churned = under(run, folder, worker, options.backlog, options.seconds, churn=True)
        print(f"  {options.backlog:>9,} kept:    {churned:,.0f} tasks/s, {churned / kept:.0%}")


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


def fill(run, folder, worker, backlog, url):
    with stopped(worker.pid):
        for start in range(0, backlog, 10_000):
            run.send_many([(n,) for n in range(start, min(start + 10_000, backlog))])
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE) penstock.message")
            connection.execute("CHECKPOINT")
        _marks.clear(folder)


def under(run, folder, worker, backlog, seconds, *, churn=False):
    """Tasks a second while some seconds go by."""
    _marks.clear(folder)
    ended = threading.Event()
    thread = threading.Thread(target=refill, args=(run, folder, backlog, ended))
    if churn:
        thread.start()
    time.sleep(seconds)  # what is measured
    done, took = _marks.done(folder, _marks.MOST), _marks.read(folder, 1)[1]
    ended.set()
    if churn:
        thread.join()
        while backlog == SMALL and run.app.broker.depth("celery"):
            time.sleep(0.05)  # what is left is not for the next turn
    return done / took


def refill(run, folder, backlog, ended):
    """New ones, as many as are taken out."""
    sent = 0
    if backlog == SMALL:
        run.send_many([(n,) for n in range(SMALL)])
    while not ended.wait(0.05):
        done = _marks.done(folder, _marks.MOST)
        new = min(done - sent, _marks.MOST - 1 - backlog - sent)
        if new >= SMALL // 2:
            first = backlog + sent
            run.send_many([(n,) for n in range(first, first + new)])
            sent += new


if __name__ == "__main__":
    main()
