"""Where the time goes, stage by stage: of one call, from `delay` to `get`, and of a drain.

The processes note when a few methods begin and end (`stages/sitecustomize.py`), which costs a few
microseconds for each moment: compare shares, and runs of this script with each other.

    python benchmarks/experiments/stages.py [redis|sqlite|rabbitmq|postgres] [--calls 1000]
                                             [--tasks 20000]
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import _marks  # noqa: E402 - from the folder above
from _postgres import postgres_server  # noqa: E402
from _rabbit import rabbit_server  # noqa: E402
from _redis import redis_server  # noqa: E402
from _systems import SYSTEMS, cpu, running, tree, wait  # noqa: E402

CLIENT = """
import sys, time
from _app_penstock import run
for n in range(int(sys.argv[1])):
    run.delay(n).get(timeout=20)
    time.sleep(0.002)
"""
TRIP = (  # who, what, and what it is called; in the order in which they happen
    ("client", "delay<", "call"),
    ("worker", "hear<", "the supervisor is awake"),
    ("worker", "trade<", "heard: a bell"),
    ("worker", "trade>", "claimed"),
    ("worker", "dispatch>", "handed to the executor"),
    ("executor", "run<", "the executor has it"),
    ("executor", "read>", "read"),
    ("executor", "write<", "ran"),
    ("executor", "run>", "answered, and its end told"),
    ("worker", "hear<", "the supervisor is awake"),
    ("worker", "trade<", "heard: the answer"),
    ("client", "get>", "got"),
)


@contextlib.contextmanager
def measured(engine):
    """A worker that notes its moments; gives the folder, the environment and the worker."""
    folder = Path(tempfile.mkdtemp(prefix="stages-", dir=".")).resolve()
    noted = folder / "moments"
    noted.mkdir()
    environment = os.environ | {"MARKS": str(folder), "STAGES": str(noted)}
    elsewhere = os.environ.get("PYTHONPATH", "")  # another version, to compare with
    environment["PYTHONPATH"] = f"{HERE / 'stages'}:{HERE.parent}:{elsewhere}"
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if engine in {"redis", "rabbitmq"}:
            url = f"redis://127.0.0.1:{stack.enter_context(redis_server())}/0"
            environment["APP"] = json.dumps({"broker": url, "backend": url})
        if engine == "rabbitmq":
            broker, _ = stack.enter_context(rabbit_server())
            environment["APP"] = json.dumps({"broker": broker, "backend": url})
        if engine == "postgres":
            environment["APP"] = json.dumps({"broker": stack.enter_context(postgres_server())})
        worker = stack.enter_context(running(SYSTEMS["penstock"].worker(2), folder, environment))
        yield folder, environment, worker


def moments(folder):
    """All that was noted, in order: nanoseconds, who, what."""
    found = []
    for path in (folder / "moments").iterdir():
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        names = {name for _, name in rows}
        who = "worker" if "turn<" in names else "executor" if "run<" in names else "client"
        found += [(int(at), who, name) for at, name in rows]
    return sorted(found)


def one_by_one(engine, calls):
    """Medians from stage to stage, in microseconds, of the calls that went through all of them."""
    with measured(engine) as (folder, environment, _worker):
        subprocess.run(
            [sys.executable, "-c", CLIENT, str(calls)], cwd=folder, env=environment, check=True
        )
        time.sleep(0.5)  # what is written after the last answer
        found = moments(folder)
    took = [[] for _ in TRIP]
    for call in each_call(found):
        path = followed(call)
        if len(path) == len(TRIP):
            for times, at, before in zip(took, path, [path[0], *path], strict=False):
                times.append((at - before) / 1000)
    stored = [
        at - call[0][0] for call in each_call(found) for at, _, what in call if what == "delay>"
    ]
    middle = [statistics.median(times) for times in took]
    return middle, len(took[0]), statistics.median(stored) / 1000


def each_call(found):
    """The moments of one call after the other."""
    calls = []
    for moment in found:
        if moment[1:] == TRIP[0][:2]:
            calls.append([])
        if calls:
            calls[-1].append(moment)
    return calls


def followed(call):
    """When each stage of TRIP was reached, as far as they came in that order."""
    moments_left = iter(call)
    path = []
    for stage in TRIP:
        at = next((at for at, who, name in moments_left if (who, name) == stage[:2]), None)
        if at is None:
            break
        path.append(at)
    return path


def drained(engine, count):
    """CPU microseconds a task by process, and what the supervisor's stages took of its time."""
    with measured(engine) as (folder, environment, worker):
        place = SYSTEMS["penstock"]
        send = [sys.executable, "-c", place.filling(0, count)]
        subprocess.run(send, cwd=folder, env=environment, check=True)
        before = {pid: cpu([pid]) for pid in tree(worker.pid)}
        wait(lambda: _marks.done(folder, count) == count, timeout=120)
        used = {pid: cpu([pid]) - at for pid, at in before.items()}
        time.sleep(0.5)
        took = defaultdict(int)
        began = {}
        for at, who, name in moments(folder):
            if who == "worker" and name.endswith("<"):
                began[name[:-1]] = at
            elif who == "worker" and name[:-1] in began:
                took[name[:-1]] += at - began.pop(name[:-1])
    supervisor = used.pop(worker.pid)
    return {
        "CPU of the supervisor": supervisor / count * 1e6,
        "CPU of the others": sum(used.values()) / count * 1e6,
        **{f"supervisor: {name}": value / count / 1000 for name, value in sorted(took.items())},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "engine", nargs="?", choices=["redis", "sqlite", "rabbitmq", "postgres"], default="redis"
    )
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--tasks", type=int, default=20_000)
    options = parser.parse_args()
    medians, calls, stored = one_by_one(options.engine, options.calls)
    print(f"one call at a time on {options.engine}: {calls} of {options.calls} went all the way\n")
    total = 0.0
    print(f"{'us':>7}{'from the start':>16}")
    for (who, _name, label), microseconds in zip(TRIP, medians, strict=True):
        total += microseconds
        print(f"{microseconds:7.0f}{total:16.0f}   {who}: {label}")
    print(f"{stored:23.0f}   client: delay() has returned")
    print(f"\na drain of {options.tasks:,} no-ops, microseconds a task\n")
    for label, microseconds in drained(options.engine, options.tasks).items():
        print(f"{microseconds:7.1f}   {label}")


if __name__ == "__main__":
    main()
