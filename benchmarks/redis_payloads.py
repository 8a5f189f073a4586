"""What larger arguments cost on Redis: tasks a second with payloads of 100 B, 10 kB and 1 MB.

As `redis_drain.py`: stopped, filled, and off; each task swallows a text of that size.

    python benchmarks/redis_payloads.py [--runs 5] [--only penstock,huey] [--json FILE]
"""

import argparse

import _marks
from _redis import redis_server
from _systems import PEERS, SYSTEMS, placed, wait
from _table import Table

SIZES = {"100 B": (100, 4_000), "10 kB": (10_000, 2_000), "1 MB": (1_000_000, 60)}
SENT = {
    "penstock": "take.delay(n, 'x' * {size})",
    "huey": "take(n, 'x' * {size})",
    "dramatiq": "take.send(n, 'x' * {size})",
    "taskiq": "await take.kiq(n, 'x' * {size})",
}
ONE_BY_ONE = "for n in range({first}, {last}):\n    {call}\n"


def drain(name, size, count, port):
    """Tasks a second, and megabytes."""
    send = SENT.get(name, "take.delay(n, 'x' * {size})").format(size=size)
    with placed(name, port, results=False) as place, place.worker() as worker:
        with place.stopped(worker):
            if name == "penstock":  # send_many is not what is asked here
                place.python(f"from {place.system.module} import *\n"
                             + ONE_BY_ONE.format(first=0, last=count, call=send))  # fmt: skip
            else:
                place.send(0, count, send)
        wait(lambda: _marks.done(place.folder, count) == count, timeout=120)
        runs, seconds = _marks.read(place.folder, count)
    assert all(times == 1 for times in runs), f"{name}: not every task ran once"
    return {"tasks/s": (count - 1) / seconds, "MB/s": (count - 1) / seconds * size / 1e6}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default=",".join(PEERS))
    parser.add_argument("--json")
    options = parser.parse_args()
    names = [name for name in SYSTEMS if name in options.only.split(",")]
    tables = []
    with redis_server() as port:
        for label, (size, count) in SIZES.items():
            table = Table(f"payloads of {label}")
            tables.append(table)
            for _ in range(options.runs):
                for name in names:
                    table.add(name, drain(name, size, count, port))
    for table in tables:
        table.show("tasks/s", against="penstock")
        size = "".join(table.question.split()[-2:])
        table.keep(options.json and options.json.replace(".json", f"-{size}.json"))


if __name__ == "__main__":
    main()
