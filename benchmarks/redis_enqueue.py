"""What a call costs on Redis, beside a bare RPUSH of the same bytes and beside Celery.

- ``add.delay(4, 4)``, against redis-py's RPUSH in a loop, and Celery's ``delay``;
- ``add.send_many`` of a thousand calls, against Celery's group, and a bare pipeline;
- ``delay`` from 16 threads at once, and ``adelay`` from 100 coroutines.

Alternating, medians.

    python benchmarks/redis_enqueue.py [--json FILE]
"""

import argparse
import asyncio
import logging
import threading
import time

import redis
from _redis import redis_server
from _table import Table
from celery import Celery, group

from penstock import App
from penstock.wire.envelope import pack
from penstock.wire.task import Call, encode_call

RUNS = 7
SINGLE = 2_000
BATCH = 1_000
THREADS, COROUTINES = 16, 100


def add(x, y):
    return x + y


def rate(count, work):
    begin = time.perf_counter()
    work()
    return count / (time.perf_counter() - begin)


def from_threads(call):
    """The same number of calls, from several threads at once."""

    def share():
        for _ in range(SINGLE // THREADS):
            call()

    crowd = [threading.Thread(target=share) for _ in range(THREADS)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()


async def from_coroutines(call):
    """The same number of calls, from several coroutines at once."""

    async def share():
        for _ in range(SINGLE // COROUTINES):
            await call()

    await asyncio.gather(*(share() for _ in range(COROUTINES)))


def measurements(port):
    url = f"redis://127.0.0.1:{port}"
    ours = App("shop", broker=url + "/0", backend=url + "/0").task(name="shop.add")(add)
    celery = Celery("shop", broker=url + "/1", backend=url + "/1")
    theirs = celery.task(name="shop.add")(add)
    bare = redis.Redis.from_url(url + "/2")
    call = Call(task="shop.add", id=f"0191f6d4-7a3c-7d10-8a6e-{7:012x}", args=(4, 4), origin="a@h")
    data = pack(encode_call(call, queue="celery"))

    def singles(function):
        return lambda: [function() for _ in range(SINGLE)]

    def pipeline():
        with bare.pipeline(transaction=False) as commands:
            for _ in range(BATCH):
                commands.rpush("celery", data)
            commands.execute()

    def lists():
        bare.flushall()

    return lists, {
        "RPUSH": (SINGLE, singles(lambda: bare.rpush("celery", data))),
        "delay": (SINGLE, singles(lambda: ours.delay(4, 4))),
        "Celery's delay": (SINGLE, singles(lambda: theirs.delay(4, 4))),
        "pipeline of 1,000": (BATCH, pipeline),
        "send_many of 1,000": (BATCH, lambda: ours.send_many([(4, 4)] * BATCH)),
        "Celery's group of 1,000": (
            BATCH, lambda: group(theirs.s(4, 4) for _ in range(BATCH)).apply_async()
        ),
        "delay, 16 threads": (SINGLE, lambda: from_threads(lambda: ours.delay(4, 4))),
        "adelay, 100 coroutines": (
            SINGLE, lambda: asyncio.run(from_coroutines(lambda: ours.adelay(4, 4)))
        ),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json")
    options = parser.parse_args()
    logging.getLogger("penstock").setLevel(logging.ERROR)  # nobody is to run what is sent here
    table = Table("calls sent")
    with redis_server() as port:
        clear, works = measurements(port)
        for turn in range(RUNS + 1):  # the first is to warm
            for name, (count, work) in works.items():
                value = rate(count, work)
                if turn:
                    table.add(name, {"calls/s": value})
            clear()
    table.show("calls/s")
    table.keep(options.json)
    middle = [table.middle(name, "calls/s") for name in works]
    raw, delay, celery, pipe, many, crowd, threads, coroutines = middle
    print(f"delay:      {delay / raw:5.0%} of RPUSH (aim: 75 %), {delay / celery:.1f} x Celery's")
    print(f"send_many:  {many / crowd:5.1f} x Celery's group (aim: 25)")
    print(f"            {many / pipe:5.0%} of a bare pipeline")
    print(f"16 threads: {threads / delay:5.1f} x one, {threads / celery:.1f} x Celery's one")
    print(f"coroutines: {coroutines / delay:5.1f} x one, {coroutines / celery:.1f} x Celery's one")


if __name__ == "__main__":
    main()
