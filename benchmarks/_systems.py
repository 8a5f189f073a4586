"""The systems that are measured side by side on Redis: how each is started, filled and called.

An app module of its own (`_app_NAME.py`) holds each one's tasks: `run` (a no-op that counts
itself), `nap` (waits ten milliseconds) and `take` (swallows a payload). Which Redis, and whether
results are kept, they read from the environment.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _marks
import redis

__all__ = ["PEERS", "SYSTEMS", "Place", "cpu", "memory", "placed", "running", "tree", "wait"]

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # sources edited last would be compiled each time

HERE = Path(__file__).parent
PYTHON = sys.executable
WARM_UP = 50

_LOOP = """
for n in range({first}, {last}):
    {call}
"""
_IN_LOOP = """
import asyncio
async def main():
    await broker.startup()
    for n in range({first}, {last}):
        {call}
    await broker.shutdown()
asyncio.run(main())
"""


@dataclasses.dataclass(frozen=True)
class System:
    """One system. ``{executors}`` in its command is how many processes run tasks."""

    name: str
    command: str  # behind `python -m`
    module: str
    send: str  # one call, without waiting for a result
    call: str  # the body of `def call(n)`: one call, there and back
    fill: str = _LOOP
    safe: bool = True  # a killed worker loses nothing
    settings: tuple[tuple[str, str], ...] = ()  # environment

    def worker(self, executors=2):
        return [PYTHON, "-m", *self.command.format(executors=executors).split()]

    def filling(self, first, last, call=None):
        """A program that sends calls numbered ``first`` to ``last`` - 1, ``call`` of each."""
        return f"from {self.module} import *\n" + self.fill.format(
            first=first, last=last, call=call or self.send
        )

    def client(self):
        """A program that defines ``call(n)``."""
        return f"from {self.module} import *\n{self.call}\n"


_CELERY_QUIET = "-l error --without-gossip --without-mingle --without-heartbeat"
_SEND_MANY = """
for start in range({first}, {last}, 1000):
    run.send_many([(n,) for n in range(start, min(start + 1000, {last}))])
"""
SYSTEMS = {
    system.name: system
    for system in (
        System(
            "penstock",
            "penstock -A _app_penstock worker -c {executors} -q",
            "_app_penstock",
            "run.delay(n)",
            "def call(n): return run.delay(n).get(timeout=20)",
            fill=_SEND_MANY,
        ),
        System(
            "celery",
            f"celery -A _app_celery worker -c {{executors}} {_CELERY_QUIET}",
            "_app_celery",
            "run.delay(n)",
            "def call(n): return run.delay(n).get(timeout=20)",
            safe=False,
        ),
        System(
            "celery-late",
            f"celery -A _app_celery worker -c {{executors}} {_CELERY_QUIET}",
            "_app_celery",
            "run.delay(n)",
            "def call(n): return run.delay(n).get(timeout=20)",
            settings=(("LATE", "1"),),
        ),
        System(
            "celery-threads",
            f"celery -A _app_celery worker -P threads -c {{executors}} {_CELERY_QUIET}",
            "_app_celery",
            "run.delay(n)",
            "def call(n): return run.delay(n).get(timeout=20)",
            safe=False,
        ),
        System(
            "huey",
            "huey.bin.huey_consumer _app_huey.huey -w {executors} -k process -n -q",
            "_app_huey",
            "run(n)",
            "def call(n): return run(n).get(blocking=True)",
            safe=False,
        ),
        System(
            "huey-told",  # results are told as they come: sooner, and fewer a second
            "huey.bin.huey_consumer _app_huey.huey -w {executors} -k process -n -q",
            "_app_huey",
            "run(n)",
            "def call(n): return run(n).get(blocking=True)",
            safe=False,
            settings=(("TOLD", "1"),),
        ),
        System(
            "dramatiq",
            "dramatiq _app_dramatiq -p {executors}",
            "_app_dramatiq",
            "run.send(n)",
            "def call(n): return run.send(n).get_result(block=True, timeout=20000)",
            settings=(("dramatiq_queue_prefetch", "200"),),
        ),
        System(
            "taskiq",
            "taskiq worker _app_taskiq:broker -w {executors} --max-async-tasks 100 "
            "--max-prefetch 100 --no-parse --log-level ERROR",
            "_app_taskiq",
            "await run.kiq(n)",
            "import asyncio\n"
            "loop = asyncio.new_event_loop()\n"
            "loop.run_until_complete(broker.startup())\n"
            "async def trip(n):\n"
            "    task = await run.kiq(n)\n"
            "    return (await task.wait_result(check_interval=0.001)).return_value\n"
            "def call(n): return loop.run_until_complete(trip(n))",
            fill=_IN_LOOP,
        ),
        System(
            "raw-one",
            "_app_raw {executors} 1",
            "_app_raw",
            "run(n)",
            "def call(n): return trip(n)",
            safe=False,
        ),
        System(
            "raw-100",
            "_app_raw {executors} 100",
            "_app_raw",
            "run(n)",
            "def call(n): return trip(n)",
            safe=False,
        ),
        System(
            "raw-amqp",
            "_app_raw_amqp",
            "_app_raw_amqp",
            "run(n)",
            "def call(n): return trip(n)",
            safe=False,
        ),
    )
}
PEERS = ("penstock", "celery", "celery-threads", "huey", "dramatiq", "taskiq")


@dataclasses.dataclass
class Place:
    """Where one measurement happens: a folder, an environment, one system."""

    system: System
    folder: Path
    environment: dict

    def python(self, code, *words):
        """What a program prints that has the system's app at hand."""
        done = subprocess.run(
            [PYTHON, "-c", code, *map(str, words)],
            cwd=self.folder, env=self.environment, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return done.stdout

    def send(self, first, last, call=None):
        self.python(self.system.filling(first, last, call))

    @contextlib.contextmanager
    def worker(self, executors=2, *, warm=True):
        """A worker that has run a few tasks; gives its process."""
        command = self.system.worker(executors)
        with running(command, self.folder, self.environment) as worker:
            if warm:
                self.send(0, WARM_UP)
                wait(lambda: _marks.done(self.folder, WARM_UP) == WARM_UP)
            yield worker

    @contextlib.contextmanager
    def stopped(self, worker):
        """The worker's whole tree is stopped meanwhile; gives its process ids."""
        everyone = tree(worker.pid)
        time.sleep(0.4)  # the last one is settled: nobody is stopped within a command
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        _marks.clear(self.folder)
        yield everyone
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def placed(name, port, *, results=True, broker="", backend=""):
    """A place for that system on the Redis at that port; with ``broker`` results alone go there.

    With ``backend``, too, nothing does.
    """
    system = SYSTEMS[name]
    folder = Path(tempfile.mkdtemp(prefix="bench-")).resolve()
    redis.Redis(port=port).flushall()  # what a killed worker held, some systems give back late
    url = f"redis://127.0.0.1:{port}"
    environment = os.environ | dict(system.settings)
    environment |= {"MARKS": str(folder), "PYTHONPATH": str(HERE), "REDIS_URL": url}
    environment |= {"RESULTS": "1" if results else ""}
    environment |= {"BROKER_URL": broker, "BACKEND_URL": backend}
    app = {"broker": broker or url + "/0", "backend": backend or url + "/0"}
    environment |= {"APP": json.dumps(app)}
    try:
        yield Place(system, folder, environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(command, folder, environment):
    # Nobody reads what it says, and a full pipe would stop those peers that log each task.
    worker = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield worker
    finally:
        for pid in reversed(tree(worker.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        worker.wait()


def wait(condition, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the worker did not get on"
        time.sleep(0.02)  # a benchmark looks from outside; nothing measured waits for this


def tree(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(p for child in children for p in tree(int(child)))]


def cpu(pids):
    """CPU seconds that these processes used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pids):
    """Megabytes of these processes together, what they share counted once (PSS)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024
