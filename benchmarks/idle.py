"""What an idle worker costs, and how soon it answers.

Round trip of one call at a time (call to result, p50 and p99), CPU share of the idle worker,
memory of supervisor, zygote and two executors together (PSS), and what `import penstock` adds to a
bare interpreter.

    python benchmarks/idle.py [--calls 500] [--seconds 20] [--disk FOLDER]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _systems import HERE, cpu, memory, running, tree
from drain import penstock_worker

CLIENT = """
import sys, time
from _app_penstock import run
for _ in range(20):
    run.delay(0).get(timeout=20)
times = []
for n in range(int(sys.argv[1])):
    began = time.perf_counter()
    assert run.delay(n).get(timeout=20) == n
    times.append(time.perf_counter() - began)
times.sort()
print(times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000)
"""


def round_trip(calls, folder, environment):
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(calls)],
        cwd=folder, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return map(float, done.stdout.split())


def import_cost(statement, runs=15):
    """Milliseconds above a bare interpreter, medians of alternating runs."""
    with_it, without = [], []
    for _ in range(runs):
        for code, times in ((statement, with_it), ("pass", without)):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - began)
    return (statistics.median(with_it) - statistics.median(without)) * 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--disk", default=".")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="idle-", dir=options.disk)).resolve()
    environment = os.environ | {"MARKS": str(folder), "PYTHONPATH": str(HERE)}
    try:
        with running(penstock_worker(), folder, environment) as worker:
            trips = [
                tuple(round_trip(options.calls, folder, environment)) for _ in range(options.runs)
            ]
            p50, p99 = (statistics.median(values) for values in zip(*trips, strict=True))
            everyone = tree(worker.pid)
            before = cpu(everyone)
            time.sleep(options.seconds)  # being idle is what is measured
            share = (cpu(everyone) - before) / options.seconds * 100
            taken = memory(everyone)
            count = f"{options.runs} x {options.calls} calls"
            print(f"round trip         p50 {p50:.2f} ms   p99 {p99:.2f} ms   ({count})")
            print(f"idle CPU           {share:.2f} % of a core over {options.seconds:.0f} s")
            print(f"memory (PSS)       {taken:.1f} MB in {len(everyone)} processes")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"import penstock    {import_cost('import penstock'):.1f} ms above a bare interpreter")
    print(f"from penstock import App   {import_cost('from penstock import App'):.1f} ms")


if __name__ == "__main__":
    main()
