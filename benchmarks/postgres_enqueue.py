"""What a call costs on PostgreSQL, beside bare statements that store the same bytes as durably.

- ``add.delay(4, 4)``, against psycopg's INSERT of a row into the same table, prepared, committed;
- ``add.send_many`` of a thousand calls, against psycopg's COPY of such rows, committed;
- beside them procrastinate's and PgQueuer's ways to send many, if they are installed.

Alternating, medians. Run: python benchmarks/postgres_enqueue.py
"""

import asyncio
import logging
import os
import time
from statistics import median

import psycopg
from _postgres import postgres_server

from penstock import App
from penstock.brokers.rows import message_row
from penstock.wire.task import Call, encode_call

RUNS = 9
SINGLE = 500
BATCH = 1_000
COLUMNS = "key, id, queue, state, priority, since, ready_at, expires_at, headers, properties, body"
TYPES = [*["text"] * 3, "int2", "int4", *["float8"] * 3, *["text"] * 2, "bytea"]


def add(x, y):
    return x + y


def rate(count, work):
    begin = time.perf_counter()
    work()
    return count / (time.perf_counter() - begin)


def rows(count):
    """Rows as the broker stores them, of one call's size, each with a key of its own."""
    call = Call(task="shop.add", id="0191f6d4-7a3c-7d10-8a6e-000000000007", args=(4, 4))
    _, *rest = message_row(encode_call(call, queue="celery"), time.time())
    *head, headers, properties, body = rest
    content = (headers.decode(), properties.decode(), body)
    start = time.time_ns()
    return [(f"{start + number:032x}", *head, *content) for number in range(count)]


def measurements(url):
    ours = App("shop", broker=url).task(name="shop.add")(add)
    ours.delay(4, 4)  # makes the tables
    bare = psycopg.connect(url, autocommit=True)
    marks = ", ".join(["%s"] * len(TYPES))
    insert = f"INSERT INTO penstock.message ({COLUMNS}) VALUES ({marks})"

    def inserts(given):
        for row in given:
            bare.execute(insert, row, prepare=True)

    def copy(given):
        with bare.cursor().copy(
            f"COPY penstock.message ({COLUMNS}) FROM STDIN (FORMAT binary)"
        ) as writing:
            writing.set_types(TYPES)
            for row in given:
                writing.write_row(row)

    works = {
        "INSERT": (SINGLE, lambda: rows(SINGLE), inserts),
        "delay": (SINGLE, lambda: None, lambda _: [ours.delay(4, 4) for _ in range(SINGLE)]),
        "COPY of 1,000": (BATCH, lambda: rows(BATCH), copy),
        "send_many of 1,000": (
            BATCH, lambda: None, lambda _: ours.send_many([(4, 4)] * BATCH)
        ),
    }  # fmt: skip
    works.update(peers(url))

    def clear():
        bare.execute("TRUNCATE penstock.message")

    return clear, works


def peers(url):
    """Those that are installed, sending a thousand at once."""
    os.environ["PG_URL"] = url
    try:
        import asyncpg
        from _app_procrastinate import app, run
        from pgqueuer import AsyncpgDriver, Queries
    except ImportError:
        return {}
    app.open()
    app.schema_manager.apply_schema()
    loop = asyncio.new_event_loop()
    queries = Queries(AsyncpgDriver(loop.run_until_complete(asyncpg.connect(url))))
    loop.run_until_complete(queries.install())

    def pgqueuer(_):
        many = (["run"] * BATCH, [b"[4, 4]"] * BATCH, [0] * BATCH)
        loop.run_until_complete(queries.enqueue(*many))

    return {
        "procrastinate": (
            BATCH, lambda: None, lambda _: run.batch_defer(*[{"number": 4}] * BATCH)
        ),
        "pgqueuer": (BATCH, lambda: None, pgqueuer),
    }  # fmt: skip


def main():
    logging.getLogger("penstock").setLevel(logging.ERROR)  # nobody is to run what is sent here
    with postgres_server() as url:
        clear, works = measurements(url)
        seen = {name: [] for name in works}
        for turn in range(RUNS + 1):  # the first is to warm
            for name, (count, prepare, work) in works.items():
                given = prepare()
                value = rate(count, lambda work=work, given=given: work(given))
                if turn:
                    seen[name].append(value)
            clear()
    middle = {name: median(values) for name, values in seen.items()}
    for name, value in middle.items():
        spread = f"{min(seen[name]):,.0f}-{max(seen[name]):,.0f}"
        print(f"  {name:22}{value:>10,.0f}/s  {spread:>18}")
    one, delay, copied, many, *_ = middle.values()
    print(f"delay:      {delay / one:5.0%} of INSERT")
    print(f"send_many:  {many / copied:5.0%} of COPY (aim: 70 %)")


if __name__ == "__main__":
    main()
