"""How late tasks begin under load, on Redis: arrivals come when they come, answered or not.

First what one sender and one worker (two executors) carry together, the sender calling without a
pause. Then arrivals at 50, 80 and 95 % of that, at random (a Poisson process): a call that is due
while the last one is still under way is late already, and that counts. Late is what lies between
the moment a call was due and the moment its task began.

    python benchmarks/redis_load.py [--runs 3] [--seconds 5] [--only penstock,celery] [--json FILE]
"""

import argparse
import json
import statistics

import _marks
from _redis import redis_server
from _systems import SYSTEMS, placed, wait
from _table import Table

ASKED = ("penstock", "celery", "huey", "dramatiq", "taskiq")
LOADS = (50, 80, 95)  # percent
CALLS = {
    "penstock": "late.delay(due)",
    "celery": "late.delay(due)",
    "huey": "late(due)",
    "dramatiq": "late.send(due)",
    "taskiq": "loop.run_until_complete(late.kiq(due))",
}
BEFORE = {
    "taskiq": """
import asyncio
loop = asyncio.new_event_loop()
loop.run_until_complete(broker.startup())
"""
}
SENDER = """
from {module} import *
import json, random, sys, time
{before}
def call(due):
    {call}
rate, seconds = float(sys.argv[1]), float(sys.argv[2])
for _ in range(50):
    call(1e9 + time.monotonic())
sent, began = 0, time.monotonic()
due, end = began, began + seconds
while due < end:
    now = time.monotonic()
    if rate and due > now:
        time.sleep(due - now)
    call(due)
    sent += 1
    due = due + random.expovariate(rate) if rate else time.monotonic()
print(json.dumps([sent, time.monotonic() - began]))
"""


def run(name, rate, seconds, port):
    """Calls a second that were carried, and how late they were, in order."""
    with placed(name, port) as place, place.worker():
        code = SENDER.format(
            module=place.system.module, before=BEFORE.get(name, ""), call=CALLS[name]
        )
        sent, took = json.loads(place.python(code, rate, seconds))
        begun = len(measured(place))
        wait(lambda: len(measured(place)) == sent)
        return begun / took, sorted(measured(place))


def measured(place):
    """How late they were, but for those that were to warm, which were due in the far future."""
    return [lag for lag in _marks.lags(place.folder) if lag > -1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", default=",".join(ASKED))
    parser.add_argument("--json")
    options = parser.parse_args()
    names = [name for name in ASKED if name in options.only.split(",")]
    assert all(name in SYSTEMS for name in names)
    tables = {load: Table(f"tasks begin late at {load} % load") for load in LOADS}
    with redis_server() as port:
        for _ in range(options.runs):
            for name in names:
                carried, _lags = run(name, 0, options.seconds, port)
                for load, table in tables.items():
                    _rate, late = run(name, carried * load / 100, options.seconds, port)
                    figures = {
                        "p50 ms": statistics.median(late) * 1000,
                        "p99 ms": late[int(len(late) * 0.99)] * 1000,
                        "calls/s": carried * load / 100,
                    }
                    table.add(name, figures)
    for load, table in tables.items():
        table.show("p50 ms", against="penstock", less_is_better=True)
        table.keep(options.json and options.json.replace(".json", f"-{load}.json"))


if __name__ == "__main__":
    main()
