"""What an idle worker costs, and how soon it answers.

Round trip of one call at a time (call to result), in turn with bare apsw that makes the same three
commits, with and without a process of its own for the task; then the CPU share of the idle worker,
memory of supervisor, zygote and two executors together (PSS), and what `import penstock` adds to a
bare interpreter.

    python benchmarks/idle.py [--runs 5] [--calls 500] [--seconds 20] [--disk FOLDER]
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _machine import pace
from _systems import HERE, cpu, memory, running, tree
from _table import Table
from drain import penstock_worker

PYTHON = sys.executable
WORKERS = {
    "penstock": penstock_worker(),
    "raw": [PYTHON, "-m", "_app_raw_sqlite"],
    "raw-apart": [PYTHON, "-m", "_app_raw_sqlite", "apart"],
}
CALL = {
    "penstock": "from _app_penstock import run\ndef call(n): return run.delay(n).get(timeout=20)",
    "raw": "from _app_raw_sqlite import Client\ncall = Client().call",
}
CALL["raw-apart"] = CALL["raw"]
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
print(*(times[int(len(times) * part)] * 1000 for part in (0.5, 0.2, 0.99)))
"""


def round_trip(system, calls, folder, environment):
    done = subprocess.run(
        [PYTHON, "-c", f"{CALL[system]}\n{CLIENT}", str(calls)],
        cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return dict(zip(("p50", "p20", "p99"), map(float, done.stdout.split()), strict=True))


@contextlib.contextmanager
def placed(system, disk):
    """A worker of it in a folder of its own; gives both, and the environment for its clients."""
    folder = Path(tempfile.mkdtemp(prefix="idle-", dir=disk)).resolve()
    environment = os.environ | {"MARKS": str(folder), "PYTHONPATH": str(HERE.resolve())}
    try:
        with running(WORKERS[system], folder, environment) as worker:
            yield worker, folder, environment
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table(
        "one call at a time on SQLite, there and back (ms)",
        f"{options.runs} x {options.calls} calls",
    )
    with contextlib.ExitStack() as stack:
        places = {name: stack.enter_context(placed(name, options.disk)) for name in WORKERS}
        for _ in range(options.runs):
            table.note(pace(options.disk))
            for name, (_, folder, environment) in places.items():
                table.add(name, round_trip(name, options.calls, folder, environment))
        table.show("p50", against="penstock", less_is_better=True)
        table.keep(options.json)
        everyone = tree(places["penstock"][0].pid)
        before = cpu(everyone)
        time.sleep(options.seconds)  # being idle is what is measured
        share = (cpu(everyone) - before) / options.seconds * 100
        print(f"idle CPU           {share:.2f} % of a core over {options.seconds:.0f} s")
        print(f"memory (PSS)       {memory(everyone):.1f} MB in {len(everyone)} processes")
    print(f"import penstock    {import_cost('import penstock'):.1f} ms above a bare interpreter")
    print(f"from penstock import App   {import_cost('from penstock import App'):.1f} ms")


if __name__ == "__main__":
    main()
