"""How fast one worker drains no-op tasks on PostgreSQL, durably; and one call, there and back.

One worker with two executors, results stored; its peers with two processes, as their guides say:
procrastinate (concurrency 20; no results), PgQueuer (asyncpg, batches of 10, as it comes; no
results). Alternating in the same run on one server with durable commits. Each starts on an empty
queue, runs a few tasks, is stopped (SIGSTOP), the queue is filled, and it goes on; the rate is
(N-1) / (last run - first run), counted in the task's body. Every task must have run.

    python benchmarks/postgres_drain.py [--runs 5] [--tasks 5000] [--only penstock,procrastinate]
"""

import argparse
import contextlib
import json
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
from _postgres import postgres_server
from drain import HERE, WARM_UP, cpu, running, tree, wait

PYTHON = sys.executable
WORKERS = {
    "penstock": [
        [PYTHON, "-m", "penstock", "-A", "_app_penstock", "worker", "-c", "2", "-q"]
    ],
    "procrastinate": [
        [PYTHON, "-m", "procrastinate", "--app=_app_procrastinate.app", "worker", "-c", "20"]
    ] * 2,
    "pgqueuer": [
        [PYTHON, str(HERE.resolve() / "_app_pgqueuer.py")]
    ] * 2,
}  # fmt: skip

PREPARE = {
    "penstock": "",
    "procrastinate": """
from _app_procrastinate import app
with app.open():
    app.schema_manager.apply_schema()
""",
    "pgqueuer": """
import asyncio, os, asyncpg
from pgqueuer import AsyncpgDriver, Queries
async def main():
    connection = await asyncpg.connect(os.environ["PG_URL"])
    await Queries(AsyncpgDriver(connection)).install()
asyncio.run(main())
""",
}

FILL = {
    "penstock": """
from _app_penstock import run
for start in range(0, {last}, 1000):
    run.send_many([(n,) for n in range(start, min(start + 1000, {last}))])
""",
    "procrastinate": """
from _app_procrastinate import app, run
with app.open():
    for start in range(0, {last}, 1000):
        run.batch_defer(*(dict(number=n) for n in range(start, min(start + 1000, {last}))))
""",
    "pgqueuer": """
import asyncio, os, asyncpg
from pgqueuer import AsyncpgDriver, Queries
async def main():
    connection = await asyncpg.connect(os.environ["PG_URL"])
    queries = Queries(AsyncpgDriver(connection))
    for start in range(0, {last}, 1000):
        part = range(start, min(start + 1000, {last}))
        await queries.enqueue(["run"] * len(part), [b"%d" % n for n in part], [0] * len(part))
asyncio.run(main())
""",
}

CLIENT = """
import sys, time
from _app_penstock import run
for _ in range(50):
    run.delay(0).get(timeout=20)
times = []
for n in range(int(sys.argv[1])):
    began = time.perf_counter()
    assert run.delay(n).get(timeout=20) == n
    times.append(time.perf_counter() - began)
times.sort()
print(times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000)
"""

ANALYZE = """
import os, psycopg
psycopg.connect(os.environ["PG_URL"], autocommit=True).execute("ANALYZE")
"""


def python(code, *words, folder, environment):
    done = subprocess.run(
        [PYTHON, "-c", code, *words],
        cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return done.stdout


def measure(system, count, calls):
    """Tasks a second, CPU seconds of the workers per 10,000, and a call's p50 and p99 (ms)."""
    folder = Path(tempfile.mkdtemp(prefix="drain-")).resolve()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(postgres_server())
        environment = os.environ | {
            "MARKS": str(folder), "PYTHONPATH": str(HERE.resolve()), "PG_URL": url,
            "APP": json.dumps({"broker": url}),
        }  # fmt: skip
        place = {"folder": folder, "environment": environment}
        python(PREPARE[system], **place)
        workers = [
            stack.enter_context(running(command, folder, environment))
            for command in WORKERS[system]
        ]
        python(FILL[system].format(last=WARM_UP), **place)
        wait(lambda: _marks.done(folder, WARM_UP) == WARM_UP)
        trips = (
            python(CLIENT, str(calls), **place).split() if system == "penstock" else ("nan", "nan")
        )
        everyone = [pid for worker in workers for pid in tree(worker.pid)]
        time.sleep(0.5)  # the last one is settled: nobody is stopped within a transaction
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        _marks.clear(folder)
        python(FILL[system].format(last=count), **place)
        python(ANALYZE, **place)  # or procrastinate reads its whole table for each job
        before = cpu(everyone)
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)
        wait(lambda: _marks.done(folder, count) == count, timeout=60 + count / 100)
        used = cpu(everyone) - before
        runs, seconds = _marks.read(folder, count)
        assert all(runs), f"{system}: some tasks did not run"
        return (count - 1) / seconds, used / count * 10_000, *map(float, trips)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--only", default=",".join(WORKERS))
    options = parser.parse_args()
    systems = options.only.split(",")
    seen = {system: [] for system in systems}
    for _ in range(options.runs):
        for system in systems:
            seen[system].append(measure(system, options.tasks, options.calls))
            rate, used, p50, p99 = seen[system][-1]
            print(f"  {system:14}{rate:>9,.0f} tasks/s  {used:5.2f}  {p50:.2f}/{p99:.2f} ms",
                  flush=True)  # fmt: skip
    print(f"\n{'system':14}{'tasks/s: median':>18}{'min-max':>16}{'CPU s/10k':>12}"
          f"{'call p50 ms':>13}{'p99':>8}")  # fmt: skip
    middle = {}
    for system, values in seen.items():
        rates = [value[0] for value in values]
        middle[system] = [statistics.median(column) for column in zip(*values, strict=True)]
        rate, used, p50, p99 = middle[system]
        spread = f"{min(rates):,.0f}-{max(rates):,.0f}"
        print(f"{system:14}{rate:>18,.0f}{spread:>16}{used:>12.2f}{p50:>13.2f}{p99:>8.2f}")
    for peer in systems[1:] if "penstock" in systems else ():
        print(f"penstock / {peer}: {middle['penstock'][0] / middle[peer][0]:.1f} x the tasks")


if __name__ == "__main__":
    main()
