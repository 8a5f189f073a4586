"""Processes and signals: dying with one's parent, signal handlers, process groups."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from types import FrameType

__all__ = [
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
    signal.signal(signal.SIGINT, _nothing)
    signal.signal(signal.SIGTERM, _nothing)


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
