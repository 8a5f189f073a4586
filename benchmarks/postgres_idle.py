"""How soon an idle worker runs a call, and how soon its result is there, on PostgreSQL.

One call at a time, durable commits. The task tells the caller through a socket that it runs, so
that peers which store no results can be measured as well. Ours is also timed there and back: as
often again, by a caller who waits for the result and for nothing else. One worker with two
executors, peers with two processes as their guides say; alternating in rounds on one server, each
system in a database of its own; and as the floor bare psycopg, with one process that takes, runs
and answers. On a machine that others use, too, the lower quantiles (p10, p25) say more than the
median.

    python benchmarks/postgres_idle.py [--runs 3] [--calls 200] [--only penstock,pgqueuer]
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import postgres_drain
from _machine import pace
from _postgres import postgres_server
from _systems import HERE, running
from _table import Table

PYTHON = postgres_drain.PYTHON
WORKERS = postgres_drain.WORKERS | {"raw": [[PYTHON, "-m", "_app_raw_postgres"]]}
PREPARE = postgres_drain.PREPARE | {
    "raw": """
from _app_raw_postgres import SCHEMA, connect
for statement in SCHEMA.split(";"):
    connect("raw_none").execute(statement)
"""
}

# Each defines `call(n)`: the call is stored when it returns.
SEND = {
    "penstock": "from _app_penstock import tell\ndef call(n): return tell.delay(n)",
    "procrastinate": """
from _app_procrastinate import app, tell
app.open()
def call(n): tell.defer(number=n)
""",
    "pgqueuer": """
import asyncio, os, asyncpg
from pgqueuer import AsyncpgDriver, Queries
loop = asyncio.new_event_loop()
queries = Queries(AsyncpgDriver(loop.run_until_complete(asyncpg.connect(os.environ["PG_URL"]))))
def call(n): loop.run_until_complete(queries.enqueue("tell", b"%d" % n, 0))
""",
    "raw": "from _app_raw_postgres import Call as call",
}
CLIENT = """
import os, socket, sys, time
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind("told")
heard.settimeout(20)
def trip(n):
    began = time.perf_counter()
    result = call(n)
    stored = time.perf_counter()
    while int(heard.recv(32)) != n:
        pass
    ran = time.perf_counter()
    if result is not None:
        assert result.get(timeout=20) == n
    return stored - began, ran - began
def there_and_back(n):
    began = time.perf_counter()
    assert call(n).get(timeout=20) == n
    ended = time.perf_counter()
    heard.recv(32)
    return ended - began
calls = int(sys.argv[1])
for n in range(30):
    trip(-n)
numbers = range(1, calls + 1)
columns = [*zip(*map(trip, numbers))]
if sys.argv[2] == "results":
    columns.append([there_and_back(n + calls) for n in numbers])
for column in map(sorted, columns):
    print(*(column[int(calls * part)] * 1000 for part in (0.1, 0.25, 0.5, 0.99)))
"""


@contextlib.contextmanager
def placed(system, url):
    """A worker of it; gives the folder and the environment for its clients."""
    folder = Path(tempfile.mkdtemp(prefix="idle-")).resolve()
    environment = os.environ | {
        "MARKS": str(folder), "TOLD": str(folder / "told"), "PG_URL": url,
        "PYTHONPATH": str(HERE.resolve()), "APP": json.dumps({"broker": url}),
    }  # fmt: skip
    try:
        python(PREPARE[system], folder=folder, environment=environment)
        with contextlib.ExitStack() as workers:
            for command in WORKERS[system]:
                workers.enter_context(running(command, folder, environment))
            yield {"folder": folder, "environment": environment}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def python(code, *words, folder, environment):
    done = subprocess.run(
        [PYTHON, "-c", code, *map(str, words)],
        cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return done.stdout


def measure(system, calls, place):
    (place["folder"] / "told").unlink(missing_ok=True)
    kept = "results" if system in {"penstock", "raw"} else "none"
    printed = python(f"{SEND[system]}\n{CLIENT}", calls, kept, **place).splitlines()
    stored, ran, *back = ([float(word) for word in line.split()] for line in printed)
    names = ("p10", "p25", "p50", "p99")
    figures = {"stored p50": stored[2]}
    figures |= {f"runs {name}": value for name, value in zip(names, ran, strict=True)}
    result = back[0] if back else [float("nan")] * 4
    return figures | {f"result {name}": value for name, value in zip(names, result, strict=True)}


def database(url, name):
    """Another one on the same server: a notification wakes everybody who listens in its own."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{url.rpartition('/')[0]}/{name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--only", default=",".join(WORKERS))
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table("one call at a time (ms)", f"{options.runs} x {options.calls} calls")
    with postgres_server() as url:
        for turn in range(options.runs):
            table.note(pace())
            for system in options.only.split(","):
                with placed(system, database(url, f"{system}_{turn}")) as place:
                    began = time.monotonic()
                    table.add(system, measure(system, options.calls, place))
                    assert time.monotonic() - began < 120, f"{system} is too slow to compare"
    table.show("runs p50", against="penstock", less_is_better=True)
    table.keep(options.json)


if __name__ == "__main__":
    main()
