"""Many tasks that wait: `await sleep(0.01)`, a thousand at once in one executor, on Redis.

Beside penstock's own no-ops with one executor, and Taskiq, which is made for such tasks.

    python benchmarks/redis_async.py [--runs 5] [--tasks 20000] [--json FILE]
"""

import argparse
import dataclasses
import time

import _marks
from _redis import redis_server
from _systems import SYSTEMS, placed, wait
from _table import Table

AT_ONCE = 1_000
QUIET = 5.0  # seconds
COMMANDS = {
    "penstock": f"penstock -A _app_penstock worker -P asyncio -c {AT_ONCE} -q",
    "taskiq": f"taskiq worker _app_taskiq:broker -w 1 --max-async-tasks {AT_ONCE} "
    f"--max-prefetch {AT_ONCE} --no-parse --log-level ERROR",
}
FILL = {
    "penstock": """
for start in range({first}, {last}, 1000):
    nap.send_many([(n,) for n in range(start, min(start + 1000, {last}))])
""",
    "taskiq": SYSTEMS["taskiq"].fill.replace("{call}", "await nap.kiq(n)"),
}
NO_OPS = "penstock, no-ops in a process"


def drain(name, count, port):
    with placed("penstock" if name == NO_OPS else name, port) as place:
        if name != NO_OPS:
            place.system = dataclasses.replace(
                place.system, command=COMMANDS[name], fill=FILL[name]
            )
        with place.worker(1) as worker:
            with place.stopped(worker):
                place.send(0, count)
            ran = all_that_run(place.folder, count)
            runs, seconds = _marks.read(place.folder, count)
    assert max(runs) == 1, f"{name}: a task ran twice"
    assert ran == count or "penstock" not in name, "a task did not run"
    return {"tasks/s": (ran - 1) / seconds, "not run": count - ran}


def all_that_run(folder, count):
    """How many ran; where some do not, the wait ends when nothing more has come for a while."""
    ran, since = -1, time.monotonic()

    def is_over():
        nonlocal ran, since
        now = _marks.done(folder, count)
        if now != ran:
            ran, since = now, time.monotonic()
        return ran == count or time.monotonic() - since > QUIET

    wait(is_over, timeout=120)
    return ran


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table(f"await sleep(0.01), {AT_ONCE} at once")
    with redis_server() as port:
        for _ in range(options.runs):
            for name in ("penstock", "taskiq", NO_OPS):
                table.add(name, drain(name, options.tasks, port))
    table.show("tasks/s", against="penstock")
    table.keep(options.json)


if __name__ == "__main__":
    main()
