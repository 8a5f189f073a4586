"""Processes and signals: dying with one's parent, signal handlers, process groups."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import sys
from types import FrameType

__all__ = [
    "Sentence",
    "die_with_parent",
    "ignore_stop_signals",
    "kill_group",
    "outlive_parent",
    "own_group",
    "status_text",
]

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` dies (Linux; elsewhere pipes tell)."""
    _on_parents_death(signal.SIGKILL)
    if os.getppid() != parent:  # it died between our fork and the line above
        os._exit(1)


def outlive_parent() -> None:
    """Take :func:`die_with_parent` back, to end in one's own way when the parent is gone."""
    _on_parents_death(0)


def _on_parents_death(number: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _nothing(_signal: int, _frame: FrameType | None) -> None:
    pass


def ignore_stop_signals() -> None:
    """Let INT and TERM pass: only the supervisor decides.

    A handler that does nothing, not SIG_IGN: what is ignored stays ignored in the programs that
    a task starts, a handler does not.
    """
    signal.set_wakeup_fd(-1)  # the supervisor's, who would be woken by what others get
    signal.signal(signal.SIGINT, _nothing)
    signal.signal(signal.SIGTERM, _nothing)


class Sentence:
    """The signal that an executor shall die of, although it lets INT and TERM pass.

    One byte that both sides share since before the fork: the zygote writes it before it sends the
    signal, the executor reads it when one comes. So a TERM that goes to everybody, as at the
    machine's shutdown, still ends nobody's task.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def pass_(self, number: int) -> None:
        """From now on that signal ends the executor, unless the task has a handler for it."""
        self._byte[0] = number

    def heed(self) -> None:
        """In the executor: have INT and TERM looked at."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._byte[0] == number:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def own_group() -> None:
    """Lead a process group of one's own: Ctrl-C passes by, and the group can be killed whole."""
    os.setpgid(0, 0)


def kill_group(leader: int) -> None:
    """Kill a process and all that it started (and that stayed in its group)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left to kill
        os.killpg(leader, signal.SIGKILL)


def status_text(status: int) -> str:
    """How a process ended, in words: ``exit code 3`` or ``signal 9 (SIGKILL)``."""
    if status >= 0:
        return f"exit code {status}"
    try:
        name = f" ({signal.Signals(-status).name})"
    except ValueError:
        name = ""
    return f"signal {-status}{name}"
