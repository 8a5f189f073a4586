"""How fast one worker drains no-op tasks on Redis, results stored; and one call, there and back.

One worker with two executors, and its peers with two, alternating in the same run on one Redis:
Celery (prefork), Huey, Dramatiq, Taskiq. Each starts on an empty queue, runs a few tasks, is
stopped (SIGSTOP), the queue is filled, and it goes on; the rate is (N-1) / (last run - first run),
counted in the task's body. Every task must have run.

    python benchmarks/redis_drain.py [--runs 5] [--tasks 5000] [--only penstock,celery]
"""

import argparse
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
from _redis import redis_server
from drain import HERE, WARM_UP, cpu, running, tree, wait

PYTHON = sys.executable
WORKERS = {
    "penstock": [PYTHON, "-m", "penstock", "-A", "_drain_penstock", "worker", "-c", "2", "-q"],
    "celery": [PYTHON, "-m", "celery", "-A", "_drain_celery", "worker", "-c", "2", "-l", "error",
               "--without-gossip", "--without-mingle", "--without-heartbeat"],
    "huey": [PYTHON, "-m", "huey.bin.huey_consumer", "_drain_huey_redis.huey",
             "-w", "2", "-k", "process", "-n", "-q"],
    "dramatiq": [PYTHON, "-m", "dramatiq", "_drain_dramatiq", "-p", "2"],
    "taskiq": [PYTHON, "-m", "taskiq", "worker", "_drain_taskiq:broker", "-w", "2",
               "--log-level", "ERROR"],
}  # fmt: skip

FILL = {
    "penstock": """
from _drain_penstock import run
for start in range({first}, {last}, 1000):
    run.send_many([(n,) for n in range(start, min(start + 1000, {last}))])
""",
    "celery": """
from celery import group
from _drain_celery import run
with run.app.producer_pool.acquire(block=True) as producer:
    for n in range({first}, {last}):
        run.apply_async((n,), producer=producer)
""",
    "huey": """
from _drain_huey_redis import run
for n in range({first}, {last}):
    run(n)
""",
    "dramatiq": """
from _drain_dramatiq import run
for n in range({first}, {last}):
    run.send(n)
""",
    "taskiq": """
import asyncio
from _drain_taskiq import broker, run
async def main():
    await broker.startup()
    for n in range({first}, {last}):
        await run.kiq(n)
    await broker.shutdown()
asyncio.run(main())
""",
}

TRIP = {
    "penstock": "from _drain_penstock import run\ndef call(n): return run.delay(n).get(timeout=20)",
    "celery": "from _drain_celery import run\ndef call(n): return run.delay(n).get(timeout=20)",
    "huey": "from _drain_huey_redis import run\ndef call(n): return run(n).get(blocking=True)",
    "dramatiq": """
from _drain_dramatiq import run
def call(n): return run.send(n).get_result(block=True, timeout=20000)
""",
    "taskiq": """
import asyncio
from _drain_taskiq import broker, run
loop = asyncio.new_event_loop()
loop.run_until_complete(broker.startup())
async def trip(n): return (await (await run.kiq(n)).wait_result(check_interval=0.001)).return_value
def call(n): return loop.run_until_complete(trip(n))
""",
}
CLIENT = """
import sys, time
for _ in range(20):
    call(0)
times = []
for n in range(int(sys.argv[1])):
    began = time.perf_counter()
    assert call(n) == n
    times.append(time.perf_counter() - began)
times.sort()
print(times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000)
"""


def python(code, *words, folder, environment):
    done = subprocess.run(
        [PYTHON, "-c", code, *words],
        cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return done.stdout


def measure(system, count, calls, port):
    """Tasks a second, CPU seconds of the worker per 10,000, and a call's p50 and p99 (ms)."""
    folder = Path(tempfile.mkdtemp(prefix="drain-")).resolve()
    url = f"redis://127.0.0.1:{port}"
    app = {"broker": url + "/0", "backend": url + "/0"}
    environment = os.environ | {
        "MARKS": str(folder), "PYTHONPATH": str(HERE), "REDIS_URL": url, "APP": json.dumps(app)
    }  # fmt: skip
    place = {"folder": folder, "environment": environment}
    try:
        with running(WORKERS[system], folder, environment) as worker:
            python(FILL[system].format(first=0, last=WARM_UP), **place)
            wait(lambda: _marks.done(folder, WARM_UP) == WARM_UP)
            trips = python(TRIP[system] + CLIENT, str(calls), **place).split()
            everyone = tree(worker.pid)
            time.sleep(0.3)  # the last one is settled: nobody is stopped within a command
            for pid in everyone:
                os.kill(pid, signal.SIGSTOP)
            _marks.clear(folder)
            python(FILL[system].format(first=0, last=count), **place)
            before = cpu(everyone)
            for pid in everyone:
                os.kill(pid, signal.SIGCONT)
            wait(lambda: _marks.done(folder, count) == count, timeout=60 + count / 100)
            used = cpu(everyone) - before
        runs, seconds = _marks.read(folder, count)
        assert all(runs), f"{system}: some tasks did not run"
        return (count - 1) / seconds, used / count * 10_000, *map(float, trips)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--only", default=",".join(WORKERS))
    options = parser.parse_args()
    systems = options.only.split(",")
    seen = {system: [] for system in systems}
    with redis_server() as port:
        for _ in range(options.runs):
            for system in systems:
                seen[system].append(measure(system, options.tasks, options.calls, port))
                rate, used, p50, p99 = seen[system][-1]
                print(f"  {system:10}{rate:>9,.0f} tasks/s  {used:5.2f}  {p50:.2f}/{p99:.2f} ms",
                      flush=True)  # fmt: skip
    print(f"\n{'system':10}{'tasks/s: median':>18}{'min-max':>16}{'CPU s/10k':>12}"
          f"{'call p50 ms':>13}{'p99':>8}")  # fmt: skip
    middle = {}
    for system, values in seen.items():
        rates = [value[0] for value in values]
        middle[system] = [statistics.median(column) for column in zip(*values, strict=True)]
        rate, used, p50, p99 = middle[system]
        spread = f"{min(rates):,.0f}-{max(rates):,.0f}"
        print(f"{system:10}{rate:>18,.0f}{spread:>16}{used:>12.2f}{p50:>13.2f}{p99:>8.2f}")
    for peer in systems[1:] if "penstock" in systems else ():
        faster = middle["penstock"][0] / middle[peer][0]
        sooner = middle[peer][2] / middle["penstock"][2]
        print(f"penstock / {peer}: {faster:.1f} x the tasks, a call in 1/{sooner:.1f} of the time")


if __name__ == "__main__":
    main()
