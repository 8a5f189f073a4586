"""How much memory this process takes."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

__all__ = ["resident"]

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE") // 1024  # KiB


def resident() -> int:
    """KiB of this process in memory, what it shares with the zygote included."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:  # no Linux, or no descriptor left: the most that it ever took
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // 1024 if sys.platform == "darwin" else most
