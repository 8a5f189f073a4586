"""What a durable queue costs on SQLite, beside bare apsw doing the same to the same tables.

At synchronous=FULL, one process, one thread; medians of alternating turns:

- ``put`` one at a time, against a bare loop of BEGIN IMMEDIATE, INSERT, COMMIT;
- ``put_many`` of a thousand, against a bare executemany in one transaction;
- ``get`` and ``task_done`` one at a time, against a bare claim (a transaction without a sync) and
  a bare settlement (one with);
- ``get_many`` of a thousand and one ``task_done`` for all.

Run: python benchmarks/durable_queue.py
"""

import gc
import tempfile
import time
from pathlib import Path
from statistics import median

import apsw

from penstock.brokers.rows import message_row
from penstock.brokers.sqlite_claim import SQL
from penstock.durable.items import pack_many
from penstock.durable.opening import open_queue
from penstock.engines.sqlite_file import Location, connect

TURNS = 9
SINGLE = 1_000
BATCH = 1_000
QUEUE = "penstock.queue.orders"
ITEMS = [{"order": number, "customer": "c-4711", "lines": [1, 2, 3]} for number in range(BATCH)]


def timed(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class Bare:
    """The statements alone, with nobody to wake and nothing to check."""

    def __init__(self, path):
        self.connection = connect(Location(path), writes=True)

    def rows(self):
        return [message_row(message, time.time()) for message in pack_many(ITEMS, QUEUE)]

    def put(self, rows):
        for row in rows:
            self.transact(lambda row=row: self.connection.execute(SQL.publish, row))

    def put_many(self, rows):
        self.transact(lambda: self.connection.executemany(SQL.publish, rows))

    def transact(self, work, synchronous="FULL"):
        self.connection.execute(f"PRAGMA synchronous = {synchronous}")
        self.connection.execute("BEGIN IMMEDIATE")
        work()
        self.connection.execute("COMMIT")

    def get_and_done(self, count):
        for _ in range(count):
            self.transact(self.claim, "NORMAL")
            self.transact(self.settle)

    def claim(self):
        now = time.time()
        (self.row,) = self.connection.execute(SQL.next_ready, (QUEUE, now, 1, now + 15))
        self.connection.execute(SQL.take, (1, now + 15, 1, self.row[0]))

    def settle(self):
        self.connection.execute(SQL.done, (time.monotonic(), self.row[1], self.row[5]))


def put(queue):
    for item in ITEMS:
        queue.put(item)


def get_and_done(queue):
    for _ in range(SINGLE):
        queue.task_done(queue.get())


def get_and_done_many(queue):
    queue.task_done(*queue.get_many(BATCH))


def turn(bare, queue):
    one, many = bare.rows(), bare.rows()
    gc.freeze()  # what was made for the measurement is not to be looked through during it
    return {
        "bare insert": timed(lambda: bare.put(one)),
        "put": timed(lambda: put(queue)),
        "bare claim and settle": timed(lambda: bare.get_and_done(SINGLE)),
        "get and task_done": timed(lambda: get_and_done(queue)),
        "bare insert, batch": timed(lambda: bare.put_many(many)),
        "put_many": timed(lambda: queue.put_many(ITEMS)),
        "get_many and task_done": timed(lambda: get_and_done_many(queue)),
    }


def main():
    print(f"SQLite {apsw.sqlite_lib_version()}, medians of {TURNS} turns, items per second")
    seen = {}
    # Beside this script, not in /tmp: that may be memory, where an fsync costs nothing.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        bare = Bare(f"{folder}/bare.db")
        with open_queue(f"sqlite:///{folder}/penstock.db", "orders") as queue:
            turn(bare, queue)  # warm
            for _ in range(TURNS):
                for name, seconds in turn(bare, queue).items():
                    seen.setdefault(name, []).append(seconds)
        bare.connection.close()
    rates = {name: SINGLE / median(values) for name, values in seen.items()}
    for name, value in rates.items():
        print(f"  {name:24} {value:10,.0f}")
    insert, single, claim, got, batch, many, _ = rates.values()
    print(f"put:               {single / insert:5.0%} of bare   (aim: 70 %)")
    print(f"get and task_done: {got / claim:5.0%} of bare")
    print(f"put_many:          {many / batch:5.0%} of bare")


if __name__ == "__main__":
    main()
