"""Instructions a task that claiming and settling costs a Redis server, counted by callgrind.

Where times are too noisy to compare two versions, these are the same in each run. Tasks are
published, then claimed in batches and settled with a result, each batch with the next claim; two
amounts are run on a server of their own, and what one task more costs is shown.

    python benchmarks/experiments/redis_instructions.py [BATCH] [--skiplist]

``--skiplist``: sorted sets are never kept as lists, however short.
"""

import logging
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from penstock import App
from penstock.brokers.redis import RedisBroker
from penstock.message import Done, Record
from penstock.results.redis import RedisStore
from penstock.url import Url

FEW, MANY = 200, 1_000
DOCUMENT = b'{"status":"SUCCESS","result":1,"traceback":null,"children":[],"task_id":"%s"}'
DAY = 86_400.0


def work(url, count, batch):
    """Publish, claim and settle so many tasks."""
    run = App("bench", broker=url, backend=url).task(name="run")(lambda number: number)
    broker, store = RedisBroker.from_url(Url.parse(url)), RedisStore.from_url(Url.parse(url))
    assert broker.keeps_records_of(store)
    run.send_many([(number,) for number in range(count)])
    done, total = [], 0
    while True:
        lost, leases = broker.settle_and_lease(done, ["celery"], batch, 60.0)
        assert not lost
        if not leases:
            break
        total += len(leases)
        done = [Done(lease, ended(lease)) for lease in leases]
    assert total == count


def ended(lease):
    message = lease.message
    document = DOCUMENT % message.id.encode()
    return Record(message.id, "SUCCESS", document, message.key, lease.attempt, final=True, ttl=DAY)


def instructions(count, batch, options):
    with tempfile.TemporaryDirectory() as folder:
        out, socket = Path(folder, "out"), Path(folder, "socket")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "redis-server"]
        command += ["--port", "0", "--unixsocket", str(socket), "--dir", folder, "--hz", "1"]
        command += ["--save", "", "--appendonly", "no", *options]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not socket.exists():
                time.sleep(0.05)
            work(f"unix://{socket}?db=0&socket_timeout=60", count, batch)
        finally:
            server.terminate()
            server.wait()
        return int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)[1])


def main():
    logging.disable()  # nobody is to run what is sent here
    words = [word for word in sys.argv[1:] if word != "--skiplist"]
    batch = int(words[0]) if words else 100
    options = ["--zset-max-listpack-entries", "0"] if "--skiplist" in sys.argv else []
    few, many = (instructions(count, batch, options) for count in (FEW, MANY))
    print(f"batches of {batch}: {(many - few) / (MANY - FEW):,.0f} instructions a task")


if __name__ == "__main__":
    main()
