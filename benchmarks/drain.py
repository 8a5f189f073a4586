"""How fast one worker drains no-op tasks on SQLite: results stored, each commit synced.

One worker with two executors, against Huey's SqliteHuey(fsync=True) with two worker processes,
alternating in the same run; and against itself with backlogs of 1 k and (--backlog) 1 M tasks.
Workers start on an empty queue and run a few tasks, are stopped (SIGSTOP), the queue is filled,
and they go on; the rate is (N-1) / (last run - first run), counted in the task's body. Every task
must have run.

    python benchmarks/drain.py [--runs 5] [--tasks 5000] [--backlog 1000000] [--disk FOLDER]
                               [--json FILE]
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _marks
from _systems import WARM_UP, cpu, running, tree, wait
from _table import Table

HERE = Path(__file__).parent


def penstock_worker():
    return [sys.executable, "-m", "penstock", "-A", "_app_penstock", "worker", "-c", "2", "-q"]


def huey_worker():
    return [
        sys.executable, "-m", "huey.bin.huey_consumer", "_app_huey_sqlite.huey",
        "-w", "2", "-k", "process", "-n", "-q", "-d", "0.001", "-m", "0.01",
    ]  # fmt: skip


FILL = {
    "penstock": """
from _app_penstock import run
for start in range({first}, {last}, 5000):
    run.send_many([(n,) for n in range(start, min(start + 5000, {last}))])
""",
    "huey": """
from _app_huey_sqlite import huey, run
with huey.storage.db(commit=True) as cursor:  # filling is not what is measured
    for n in range({first}, {last}):
        task = run.s(n)
        data = huey.serialize_task(task)
        cursor.execute("insert into task (queue, data, priority) values (?, ?, 0)", ("drain", data))
""",
}
WORKER = {"penstock": penstock_worker, "huey": huey_worker}


def measure(system, count, disk):
    """Tasks a second, and the CPU seconds of the worker's processes per 10,000 tasks."""
    folder = Path(tempfile.mkdtemp(prefix="drain-", dir=disk)).resolve()
    environment = os.environ | {"MARKS": str(folder), "PYTHONPATH": str(HERE)}
    try:
        with running(WORKER[system](), folder, environment) as worker:
            fill(system, 0, WARM_UP, folder, environment)
            wait(lambda: _marks.done(folder, WARM_UP) == WARM_UP)
            everyone = tree(worker.pid)
            time.sleep(0.3)  # the last one is settled: nobody is stopped within a transaction
            for pid in everyone:
                os.kill(pid, signal.SIGSTOP)
            _marks.clear(folder)
            fill(system, 0, count, folder, environment)
            before = cpu(everyone)
            for pid in everyone:
                os.kill(pid, signal.SIGCONT)
            wait(lambda: _marks.done(folder, count) == count, timeout=60 + count / 200)
            used = cpu(everyone) - before
        runs, seconds = _marks.read(folder, count)
        twice = sum(1 for n in runs if n > 1)
        assert all(runs), f"{system}: some tasks did not run"
        # SIGSTOP longer than a lease is a cause for a duplicate: it is reported, not hidden.
        return (count - 1) / seconds, used / count * 10_000, twice
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(system, first, last, folder, environment):
    code = FILL[system].format(first=first, last=last)
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--backlog", type=int, default=0)
    parser.add_argument("--disk", default=".")
    parser.add_argument("--json")
    options = parser.parse_args()
    rounds = [("penstock", options.tasks), ("huey", options.tasks), ("penstock", 1_000)]
    if options.backlog:
        rounds.append(("penstock", options.backlog))
    table = Table("no-ops on SQLite, each commit synced")
    rates = {which: [] for which in rounds}
    for _ in range(options.runs):
        for which in rounds:
            rate, seconds, twice = measure(*which, options.disk)
            rates[which].append(rate)
            table.add(f"{which[0]}, {which[1]:,}", {"tasks/s": rate, "worker CPU s/10k": seconds})
            if twice:
                print(f"  {which[0]}: {twice} ran twice", flush=True)
    table.show("tasks/s", against=f"penstock, {options.tasks:,}")
    table.keep(options.json)
    middle = {which: statistics.median(values) for which, values in rates.items()}
    print(f"\npenstock / huey: {middle[rounds[0]] / middle[rounds[1]]:.2f}")
    if options.backlog:
        print(f"backlog {options.backlog:,} / 1,000: {middle[rounds[3]] / middle[rounds[2]]:.2f}")


if __name__ == "__main__":
    main()
