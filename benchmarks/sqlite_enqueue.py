"""What a durable enqueue costs on SQLite, beside bare apsw doing the same to the same tables.

Three ratios, each the median of alternating runs, all at synchronous=FULL:

- one message a call, against a bare loop of BEGIN IMMEDIATE, INSERT, COMMIT;
- sixteen threads that publish one message a call, against one thread;
- a thousand messages in one call, against a bare executemany in one transaction.

Run: python benchmarks/sqlite_enqueue.py
"""

import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import apsw

from penstock.brokers.sqlite import SqliteBroker
from penstock.brokers.sqlite_claim import SQL
from penstock.brokers.sqlite_rows import message_row
from penstock.engines.sqlite import SqliteFile
from penstock.engines.sqlite_file import Location, connect
from penstock.message import Message

RUNS = 5
SINGLE = 2_000
THREADS = 16
BATCH = 1_000
BATCHES = 10
HEADERS = {
    "lang": "py",
    "task": "shop.orders.pay",
    "id": "0191f6d4-7a3c-7d10-8a6e-2f1f0a9b3c4d",
    "root_id": "0191f6d4-7a3c-7d10-8a6e-2f1f0a9b3c4d",
    "parent_id": None,
    "group": None,
    "retries": 0,
    "eta": None,
    "expires": None,
    "timelimit": [None, None],
    "argsrepr": "(4, 4)",
    "kwargsrepr": "{}",
    "origin": "gen4711@host",
    "ignore_result": False,
}
BODY = b'[[4, 4], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


def messages(count):
    return [Message("0191f6d4-7a3c", "celery", HEADERS, BODY) for _ in range(count)]


class Files:
    """A bare connection and a broker, on two new files of one schema."""

    def __init__(self, folder):
        connect(Location(f"{folder}/bare.db"), writes=True).close()
        self.bare = connect(Location(f"{folder}/bare.db"), writes=True)
        self.broker = SqliteBroker(engine=SqliteFile.at(f"sqlite:///{folder}/penstock.db"))
        self.broker.publish(messages(1))

    def close(self):
        self.bare.close()
        self.broker.close()


def rate(count, work):
    begin = time.perf_counter()
    work()
    return count / (time.perf_counter() - begin)


def bare_singles(connection, rows):
    for row in rows:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SQL.publish, row)
        connection.execute("COMMIT")


def bare_batches(connection, batches):
    for rows in batches:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(SQL.publish, rows)
        connection.execute("COMMIT")


def singles(broker, sent):
    for message in sent:
        broker.publish([message])


def threaded(broker):
    share = messages(SINGLE // THREADS)
    crowd = [
        threading.Thread(target=singles, args=(broker, messages(len(share))))
        for _ in range(THREADS)
    ]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()


def run(files):
    now = time.time()
    rows = [message_row(message, now) for message in messages(SINGLE)]
    batches = [[message_row(m, now) for m in messages(BATCH)] for _ in range(BATCHES)]
    sent = messages(SINGLE)
    sent_batches = [messages(BATCH) for _ in range(BATCHES)]
    return {
        "bare, one a commit": rate(SINGLE, lambda: bare_singles(files.bare, rows)),
        "publish, one a call": rate(SINGLE, lambda: singles(files.broker, sent)),
        f"publish, {THREADS} threads": rate(
            THREADS * (SINGLE // THREADS), lambda: threaded(files.broker)
        ),
        f"bare, {BATCH} a commit": rate(BATCH * BATCHES, lambda: bare_batches(files.bare, batches)),
        f"publish, {BATCH} a call": rate(
            BATCH * BATCHES, lambda: [files.broker.publish(part) for part in sent_batches]
        ),
    }


def main():
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
    bare, one, many, bare_batch, batch = middle.values()
    print(f"one call, one message:  {one / bare:5.0%} of bare   (aim: 70 %)")
    print(f"{THREADS} threads:             {many / one:5.1f} x one thread (aim: 3)")
    print(f"{BATCH:,} in one call:     {batch / bare_batch:5.0%} of bare   (aim: 60 %)")


if __name__ == "__main__":
    main()
