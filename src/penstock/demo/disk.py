"""How fast the disk is, for what a durable queue asks of it."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

__all__ = ["commits_per_second"]

_PAGE = b"\0" * 4096  # what one small commit adds to the log


def commits_per_second(folder: Path, *, seconds: float = 0.1, tries: int = 3) -> float:
    """Writes of one page that reach the disk, a second: the best of some short tries.

    The best, for what else the machine does at the moment says nothing about the disk.
    """
    return max(_rate(folder, seconds) for _ in range(tries))


def _rate(folder: Path, seconds: float) -> float:
    sync = getattr(os, "fdatasync", os.fsync)
    with tempfile.TemporaryFile(dir=folder) as file:
        count, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            os.write(file.fileno(), _PAGE)
            sync(file.fileno())
            count += 1
        return count / (time.monotonic() - began)
