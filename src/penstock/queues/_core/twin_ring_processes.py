"""Whether a process still lives: by pid and start time, since a pid alone comes back."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_alive", "pid_namespace", "started"]


def started(pid: int) -> int | None:
    """When it started, in ticks after boot; None when it is gone or a zombie, 0 if unknown."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _started_without_proc(pid)
    fields = line[line.rindex(b")") + 2 :].split()  # the name before it may hold anything
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def _started_without_proc(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # another user's, so it is there
        pass
    return 0


def is_alive(pid: int, start: int) -> bool:
    """Whether this very process lives."""
    return started(pid) == start


def pid_namespace() -> int:
    """Where pids mean what they mean here; 0 on systems with one such space."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0
