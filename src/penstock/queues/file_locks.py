"""Locks on single bytes of a file, which the kernel gives up for whoever dies.

They belong to the open file, not to the process: a forked child shares its parent's lock, and the
lock is over when the last of them has closed the file or died. Nothing is written into the file.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path

from penstock.errors import ConfigError

__all__ = ["HELD", "SECTION", "is_known_locked", "lock", "unlock"]

HELD = 0  # shared: by every process that uses the queue in this file
SECTION = 1  # exclusive: by the one that is changing it (the Python twin of the ring)


def lock(fd: int, byte: int, *, shared: bool = False) -> bool:
    """Whether this byte is locked now for whoever has ``fd`` open; never waits."""
    try:
        _set(fd, byte, fcntl.F_RDLCK if shared else fcntl.F_WRLCK)
    except (BlockingIOError, PermissionError):  # the two ways to say: somebody else has it
        return False
    return True


def unlock(fd: int, byte: int) -> None:
    """Give the byte up, if it was locked."""
    _set(fd, byte, fcntl.F_UNLCK)


def _set(fd: int, byte: int, kind: int) -> None:
    command = getattr(fcntl, "F_OFD_SETLK", None)
    if command is None:
        raise ConfigError("ProcessQueue needs locks on open files, which this system does not have")
    fcntl.fcntl(fd, command, _region(kind, byte))


def _region(kind: int, byte: int) -> bytes:
    """The system's ``struct flock`` for one byte."""
    if sys.platform == "darwin":
        return struct.pack("qqihh", byte, 1, 0, kind, os.SEEK_SET)
    return struct.pack("hhqqi", kind, os.SEEK_SET, byte, 1, 0)


def is_known_locked(device: int, inode: int) -> bool:
    """Whether anybody has a lock in this file, which needs no name; true where it cannot be known.

    Linux lists all locks, also those of other containers.
    """
    try:
        locks = Path("/proc/locks").read_text("ascii")
    except OSError:
        return True
    return f" {os.major(device):02x}:{os.minor(device):02x}:{inode} " in locks
