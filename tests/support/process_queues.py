"""What the tests of the queues between processes share: both cores, children, waiting."""

import importlib
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager
from unittest import mock

MODULE = "penstock.queues.process"
PROGRAMS = __file__.replace("process_queues", "process_programs")


def load(core):
    """The module of the queue on this core (native or python), beside any other one."""
    before = sys.modules.pop(MODULE, None)
    try:
        with mock.patch.dict(os.environ, {"PENSTOCK_CORE": core}):
            module = importlib.import_module(MODULE)
    finally:
        sys.modules.pop(MODULE, None)
        if before is not None:
            sys.modules[MODULE] = before
    # Pickles name the class by its module.
    module.ProcessQueue.__module__ = alias = f"process_queues_{core}"
    sys.modules[alias] = module
    return module


def until(condition, seconds=20):
    """What the condition gives once it is true; other threads and processes run meanwhile."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.0005)
    return result


def waiting(queue, *, get=0, put=0):
    """Return when so many threads, of all processes, wait in the queue."""

    def are_there():
        facts = queue.statistics()
        return facts["waiting_get"] >= get and facts["waiting_put"] >= put

    until(are_there)


class Child:
    """A forked process that calls the function and leaves, as processes that are forked do."""

    def __init__(self, function, *args, leave=os._exit):
        self.pid = os.fork()
        if self.pid:
            return
        code = 70
        try:
            function(*args)
            code = 0
        except BaseException:  # noqa: BLE001 - a forked child: it ends here, whatever it was
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            leave(code)

    def code(self):
        """How it ended; negative: the signal."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)
        return self.code()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.pid:
            self.kill()


@contextmanager
def children(count, function, *args):
    """So many; those that are left are killed."""
    started = []
    try:
        for _ in range(count):
            started.append(Child(function, *args))  # noqa: PERF401 - those before one that fails
        yield started
    finally:
        for child in started:
            child.__exit__()


def forever(function, *args):
    """For children: until they are killed."""
    while True:
        function(*args)


def program(core, name, *args, **options):
    """Run a function of process_programs.py, which is a program of its own, on this core."""
    return subprocess.run(  # noqa: PLW1510 - options say
        [sys.executable, "-W", "error", PROGRAMS, name, *map(str, args)],
        env={**os.environ, "PENSTOCK_CORE": core},
        timeout=60,
        capture_output=True,
        text=True,
        **options,
    )


def started_program(core, name, *args):
    """The same, not waited for; its output is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", PROGRAMS, name, *map(str, args)],
        env={**os.environ, "PENSTOCK_CORE": core},
        stdout=subprocess.PIPE,
        text=True,
    )
