"""Counting completions in the task's body: no queue's own opinion, the same small cost for all.

Each process that runs tasks owns one memory-mapped file: a byte for each task (how often it ran)
and the first and last moment (CLOCK_MONOTONIC) at which it ran one.
"""

import mmap
import os
import socket
import struct
import time
from pathlib import Path

MOST = 1_200_000
_HEAD = 16
_own = _lags = None


def mark(number):
    """Note that task ``number`` ran."""
    global _own  # noqa: PLW0603 - one map of the process, made on its first task
    if _own is None or _own[0] != os.getpid():
        _own = (os.getpid(), _open(Path(os.environ["MARKS"]) / f"{os.getpid()}.marks"))
    now, memory = time.monotonic(), _own[1]
    memory[_HEAD + number] = min(255, memory[_HEAD + number] + 1)
    if memory[:8] == bytes(8):
        struct.pack_into("d", memory, 0, now)
    struct.pack_into("d", memory, 8, now)


def note_late(due):
    """Note how long after ``due`` (CLOCK_MONOTONIC) the task began, in this process's own file."""
    global _lags  # noqa: PLW0603 - one file of the process, opened at its first task
    lag = time.monotonic() - due
    if _lags is None or _lags[0] != os.getpid():
        path = Path(os.environ["MARKS"]) / f"{os.getpid()}.lags"
        _lags = (os.getpid(), os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    os.write(_lags[1], struct.pack("d", lag))


def lags(folder):
    """What was noted so far, in seconds, in no order."""
    found = b"".join(path.read_bytes() for path in Path(folder).glob("*.lags"))
    return struct.unpack(f"{len(found) // 8}d", found)


def shout(number):
    """Tell the caller, who waits at a socket, that task ``number`` runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(b"%d" % number, os.environ["TOLD"])


def _open(path):
    with path.open("wb+") as file:
        file.truncate(_HEAD + MOST)
        return mmap.mmap(file.fileno(), _HEAD + MOST)


def read(folder, count):
    """Executions of each of the first ``count`` tasks, and the seconds from first to last."""
    runs, first, last = bytearray(count), [], []
    for path in Path(folder).glob("*.marks"):
        data = path.read_bytes()
        one, two = struct.unpack("dd", data[:_HEAD])
        if one:
            first.append(one)
            last.append(two)
        body = data[_HEAD : _HEAD + count]
        if any(body):
            runs = bytearray(min(255, a + b) for a, b in zip(runs, body, strict=True))
    return runs, (max(last) - min(first) if first else 0.0)


def done(folder, count):
    """How many of the first ``count`` ran at least once."""
    total = 0
    for path in Path(folder).glob("*.marks"):
        with path.open("rb") as file:
            file.seek(_HEAD)
            total += count - file.read(count).count(0)
    return total


def clear(folder):
    """Forget the runs so far, in files that their owners still map."""
    for path in Path(folder).glob("*.marks"):
        with path.open("rb+") as file:
            file.write(bytes(_HEAD + MOST))
