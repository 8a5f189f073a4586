"""The workers of the demo: real ones, as processes of their own, and what is done to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from penstock.demo.account import Kill, Run
from penstock.errors import PenstockError

__all__ = ["DemoFailed", "ShopWorker"]

_EXECUTORS = 2
_TIME_TO_STOP = 20.0  # seconds
_LAST_LINES = 15


class DemoFailed(PenstockError):
    """The demo could not go on; the text says why."""


class ShopWorker:
    """``penstock -A penstock.demo.shop worker``, running in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "worker.log"
        command = [sys.executable, "-m", "penstock", "-A", "penstock.demo.shop", "worker"]
        command += ["-c", str(_EXECUTORS), "-l", "warning"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self._process.pid

    def check(self) -> None:
        """Raise DemoFailed, with the end of its log, when the worker has ended by itself."""
        code = self._process.poll()
        if code is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
            raise DemoFailed(f"the worker ended by itself with exit code {code}:\n{tail}")

    def kill_executor(self, open_runs: Callable[[], Sequence[Run]]) -> tuple[Kill, Run] | None:
        """SIGKILL an executor in the middle of a run; None when none was caught in one.

        It is stopped first, so that it cannot end its run between the look and the kill.
        """
        for run in open_runs():
            if not _send(run.pid, signal.SIGSTOP):
                continue
            caught = any(other is run for other in open_runs())
            kill = Kill("executor", time.monotonic_ns(), frozenset({run.pid}))
            _send(run.pid, signal.SIGKILL if caught else signal.SIGCONT)
            if caught:
                return kill, run
        return None

    def kill(self, executors: Callable[[], frozenset[int]]) -> Kill:
        """SIGKILL the whole worker by its supervisor; everything below it dies with it."""
        at = time.monotonic_ns()
        self._process.kill()
        self._process.wait()
        return Kill("worker", at, executors())

    def stop(self) -> None:
        """Ask it to finish; after some time, insist."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_TIME_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False when nobody is there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
