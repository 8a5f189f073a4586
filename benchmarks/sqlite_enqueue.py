"""What a durable enqueue costs on SQLite, beside bare apsw writing the same bytes.

Into the same tables and indexes, at synchronous=FULL; ratios of the medians of alternating runs:

- ``add.delay(4, 4)``, against a bare loop of BEGIN IMMEDIATE, INSERT, COMMIT;
- sixteen threads that call ``add.delay(4, 4)``, against one thread;
- ``add.send_many`` of a thousand calls, against a bare executemany in one transaction (of rows
  made beforehand), and the broker's part of it alone.

Run: python benchmarks/sqlite_enqueue.py
"""

import gc
import logging
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import apsw

from penstock import App
from penstock.brokers.rows import message_row
from penstock.brokers.sqlite_claim import SQL
from penstock.engines.sqlite_file import Location, connect
from penstock.wire.task import Call, encode_call

RUNS = 5
SINGLE = 2_000
THREADS = 16
BATCH = 1_000
BATCHES = 10
CALLS = [(4, 4)] * BATCH


def messages(count):
    """What the app would send."""
    calls = (
        Call(task="shop.add", id=f"0191f6d4-7a3c-7d10-8a6e-{n:012x}", args=(4, 4), origin="gen1@h")
        for n in range(count)
    )
    return [encode_call(call, queue="celery") for call in calls]


class Files:
    """A bare connection and an app, on two new files of one schema."""

    def __init__(self, folder):
        connect(Location(f"{folder}/bare.db"), writes=True).close()
        self.bare = connect(Location(f"{folder}/bare.db"), writes=True)
        self.app = App("shop", broker=f"sqlite:///{folder}/penstock.db")
        self.add = self.app.task(name="shop.add")(add)

    def close(self):
        self.bare.close()
        self.app.close()


def add(x, y):
    return x + y


def rate(count, work):
    begin = time.perf_counter()
    work()
    return count / (time.perf_counter() - begin)


def bare_singles(connection, rows):
    for row in rows:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SQL.publish, row)
        connection.execute("COMMIT")


def bare_batch(connection, rows):
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(SQL.publish, rows)
    connection.execute("COMMIT")


def in_turn(works):
    """Rates of several works on batches, which take turns: a busy moment hits all of them alike.

    Of the turns the median counts: a checkpoint, which any of them may meet, takes ten turns' time.
    """
    times = [[] for _ in works]
    for turn in range(BATCHES):
        for work, spent in zip(works, times, strict=True):
            begin = time.perf_counter()
            work(turn)
            spent.append(time.perf_counter() - begin)
    return [BATCH / median(spent) for spent in times]


def singles(task, count):
    for _ in range(count):
        task.delay(4, 4)


def threaded(task):
    share = SINGLE // THREADS
    crowd = [threading.Thread(target=singles, args=(task, share)) for _ in range(THREADS)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()


def run(files):
    now = time.time()
    rows = [message_row(message, now) for message in messages(SINGLE)]
    batches = [[message_row(m, now) for m in messages(BATCH)] for _ in range(BATCHES)]
    ready = [messages(BATCH) for _ in range(BATCHES)]
    add, broker = files.add, files.app.broker
    gc.freeze()  # what was made for the measurement is not to be looked through during it
    many = in_turn(
        [
            lambda turn: bare_batch(files.bare, batches[turn]),
            lambda _: add.send_many(CALLS),
            lambda turn: broker.publish(ready[turn]),
        ],
    )
    return {
        "bare, one a commit": rate(SINGLE, lambda: bare_singles(files.bare, rows)),
        "delay": rate(SINGLE, lambda: singles(add, SINGLE)),
        f"delay, {THREADS} threads": rate(THREADS * (SINGLE // THREADS), lambda: threaded(add)),
        f"bare, {BATCH} a commit": many[0],
        f"send_many of {BATCH}": many[1],
        f"broker.publish of {BATCH}": many[2],
    }


def main():
    logging.getLogger("penstock").setLevel(logging.ERROR)  # nobody is to run what is sent here
    print(f"SQLite {apsw.sqlite_lib_version()}, medians of {RUNS} runs, messages per second")
    seen = {}
    # Beside this script, not in /tmp: that may be memory, where an fsync costs nothing.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        files = Files(folder)
        run(files)  # warm
        for _ in range(RUNS):
            for name, value in run(files).items():
                seen.setdefault(name, []).append(value)
        files.close()
    middle = {name: median(values) for name, values in seen.items()}
    for name, value in middle.items():
        print(f"  {name:24} {value:10,.0f}")
    bare, one, many, bare_batch, batch, publish = middle.values()
    print(f"delay:              {one / bare:5.0%} of bare   (aim: 70 %)")
    print(f"{THREADS} threads:         {many / one:5.1f} x one thread (aim: 3)")
    print(f"send_many of {BATCH:,}: {batch / bare_batch:5.0%} of bare   (aim: 60 %)")
    print(f"its publish alone:  {publish / bare_batch:5.0%} of bare")


if __name__ == "__main__":
    main()
