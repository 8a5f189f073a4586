"""Real workers on a real file: started, watched and killed by the tests."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

HEADER = """\
import os, signal, subprocess, sys, threading, time
from pathlib import Path
from penstock import App, Ignore, Reject, Retry
app = App("tasks")

def note(text):  # one line, whole, survives the writer
    fd = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, (text + "\\n").encode())
    os.close(fd)

def until(name):  # blocks until the test opens the gate
    with open(name) as gate:
        gate.read()

@app.task
def add(x: int, y: int) -> int:
    return x + y
"""


class Worker:
    """One `penstock worker` process: its lines, its executors, its end."""

    def __init__(self, folder: Path, *options: str):
        self.folder = folder
        self._lines: queue.Queue[str] = queue.Queue()
        self.output: list[str] = []
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "-A", "tasks", "worker", "-l", "info", *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.process.stdout as lines:
            for line in lines:
                self.output.append(line)
                self._lines.put(line)
        self._lines.put("")

    def line(self, pattern: str, timeout: float = 20.0) -> re.Match:
        """The next line that matches; fails with all output when it does not come."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no line matched {pattern!r} in:\n{self.text}")
            if found := re.search(pattern, line):
                return found
            if line == "":
                pytest.fail(f"the worker ended without {pattern!r}:\n{self.text}")

    @property
    def text(self) -> str:
        return "".join(self.output)

    @property
    def pid(self) -> int:
        return self.process.pid

    def zygote(self) -> int:
        (pid,) = children(self.pid)
        return pid

    def executors(self) -> list[int]:
        return children(self.zygote())

    def staffed(self, count: int) -> list[int]:
        """The executors, once there are so many."""
        return wait_for(lambda: len(pids := self.executors()) == count and pids)

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20.0) -> int:
        self.process.send_signal(number)
        return self.end(timeout)

    def end(self, timeout: float = 20.0) -> int:
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for(condition, timeout: float = 20.0, what: str = "the condition"):
    """Wait until ``condition()`` is true and give what it gave.

    For what has no event that can be awaited from outside: a file's lines, a stored state.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come"
        threading.Event().wait(0.005)
    return found


def await_gone(*pids: int, within: float) -> float:
    """Wait until none of these processes lives; gives the seconds it took."""
    began = time.monotonic()
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        with os.fdopen(descriptor) as file:
            import select

            left = within - (time.monotonic() - began)
            assert select.select([file], [], [], max(0, left))[0], f"{pid} is still there"
    return time.monotonic() - began


class Bench:
    """A folder with a `tasks.py`, its app as a client, and workers on it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.workers: list[Worker] = []
        self.app = None

    def tasks(self, code: str = ""):
        """Write tasks.py and give its module, imported here as a client."""
        import importlib.util

        (self.folder / "tasks.py").write_text(HEADER + textwrap.dedent(code))
        spec = importlib.util.spec_from_file_location("tasks", self.folder / "tasks.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.app = module.app
        return module

    def worker(self, *options: str, ready: bool = True) -> Worker:
        worker = Worker(self.folder, *options)
        self.workers.append(worker)
        if ready:
            worker.line(r" ready\.")
        return worker

    def gate(self, name: str = "gate"):
        """A gate that tasks block at with until(name); calling it lets one reader pass."""
        path = self.folder / name
        os.mkfifo(path)

        def open_gate():
            path.open("w").close()

        return open_gate

    def journal(self) -> list[str]:
        path = self.folder / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def noted(self, pattern: str, timeout: float = 20.0) -> re.Match:
        """Wait for a line of the journal."""

        def found():
            return next((m for line in self.journal() if (m := re.search(pattern, line))), None)

        return wait_for(found, timeout, what=f"{pattern!r} in the journal")
