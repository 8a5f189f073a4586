"""The shared memory of the Python twin's ring, changed by one process at a time, whole or not.

::

    plan | journal: count, then (word, value) pairs | words | data: the records, going round

The words are the ring's whole state. They change only while the section is locked, and through
the journal: the changes are written into it, storing their count is the commit, then they are
made. Who dies before the commit has done nothing; if he dies after it, the next who enters makes
the changes (again): they are values, not differences. The kernel gives the lock of the dead up.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Self, TypeVar

from penstock.clock import SYSTEM_CLOCK
from penstock.queues._core.twin_ring_processes import pid_namespace
from penstock.queues.file_locks import SECTION, lock, unlock

__all__ = ["Memory", "Plan", "Timeout"]

R = TypeVar("R")

MAGIC = b"penst-py"
VERSION = 1
_PLAN = struct.Struct("<8s2I3Q16s16s")
_CHECK = struct.Struct("<I")
_JOURNAL = 256
_WORDS = 2048
_DATA = 16384
_LONGEST_NAP = 0.001
_MASK = (1 << 64) - 1
_PAGE = mmap.PAGESIZE


class Timeout(Exception):
    """Another process was inside for all the time there was."""


class Plan(NamedTuple):
    """What was decided when the segment was made."""

    magic: bytes
    version: int
    header: int
    capacity: int
    maxsize: int
    namespace: int
    boot: bytes
    id: bytes

    @classmethod
    def draw(cls, maxsize: int, max_bytes: int) -> Self:
        """For a new ring: whole pages."""
        size = -(-max_bytes // _PAGE) * _PAGE
        return cls(MAGIC, VERSION, _DATA, size, maxsize, pid_namespace(), _boot(), os.urandom(16))

    @classmethod
    def read(cls, fd: int) -> Self:
        """The one in this file. Raises ValueError where there is none that can be used here."""
        raw = os.pread(fd, _PLAN.size + _CHECK.size, 0)
        if len(raw) < _PLAN.size + _CHECK.size:
            raise _refused("it is too short")
        plan = cls(*_PLAN.unpack_from(raw))
        plan._check_kind()
        if _CHECK.unpack_from(raw, _PLAN.size)[0] != zlib.crc32(raw[: _PLAN.size]):
            raise _refused("its header is damaged")
        plan._check_place(os.fstat(fd).st_size)
        return plan

    def write(self, fd: int) -> None:
        """Makes the segment whole, so it comes last."""
        raw = _PLAN.pack(*self)
        os.pwrite(fd, raw + _CHECK.pack(zlib.crc32(raw)), 0)

    @property
    def size(self) -> int:
        """Of the file."""
        return _DATA + self.capacity

    def _check_kind(self) -> None:
        if self.magic == b"penstock":
            raise _refused("it was made by the compiled core, this is the Python one")
        if self.magic != MAGIC:
            raise _refused("it does not begin as a queue's segment does")
        if (self.version, self.header) != (VERSION, _DATA):
            raise _refused(
                f"it has version {self.version} (header of {self.header} bytes), this is version"
                f" {VERSION} ({_DATA})"
            )

    def _check_place(self, size: int) -> None:
        if size < self.size:
            raise _refused(f"it should have {self.size} bytes and has {size}")
        if self.boot != _boot():
            raise _refused("it was made before this machine started")
        if self.namespace != pid_namespace():
            raise _refused("it was made in another pid namespace (container)")


def _refused(why: str) -> ValueError:
    return ValueError(f"this is no queue that can be used here: {why}")


def _boot() -> bytes:
    text = SYSTEM_CLOCK.boot_id().replace("-", "").encode()
    return text[:16].ljust(16, b"\0")


class Memory:
    """One process's view of a segment; any thread may use it."""

    def __init__(self, fd: int, plan: Plan) -> None:
        self.plan = plan
        self._map = mmap.mmap(fd, plan.size)
        whole = memoryview(self._map)
        self._journal = whole[_JOURNAL:_WORDS].cast("Q")
        self.words = whole[_WORDS:_DATA].cast("Q")
        self._data = whole[_DATA : plan.size]
        whole.release()
        self._inside = threading.Lock()
        self._fd = _opened_anew(fd)

    @classmethod
    def create(cls, fd: int, plan: Plan) -> Self:
        """With a new ring in this file. Raises OSError where there is no room for it."""
        os.ftruncate(fd, 0)
        _allocate(fd, plan.size)
        plan.write(fd)
        return cls(fd, plan)

    def inside(self, body: Callable[[], R], deadline: float | None = None) -> R:
        """What the body gives, which runs while nobody else is inside, of any process.

        Raises Timeout, or ValueError once closed. Ctrl-C at any moment leaves nobody inside: the
        lock is taken by ``with`` alone, and not while this naps.
        """
        nap = _LONGEST_NAP / 16
        while True:
            with self._inside:
                if self._fd < 0:
                    raise ValueError("this queue is closed in this process")
                try:
                    if lock(self._fd, SECTION):
                        self._make_changes()  # of one who died
                        return body()
                finally:
                    if self._fd >= 0:  # the body may have closed it
                        unlock(self._fd, SECTION)
            if deadline is not None and time.monotonic() >= deadline:
                raise Timeout
            time.sleep(nap)
            nap = min(nap * 2, _LONGEST_NAP)

    def commit(self, changes: dict[int, int]) -> None:
        """All of these words, or none."""
        journal = self._journal
        for place, (word, value) in enumerate(changes.items()):
            journal[2 * place + 1] = word
            journal[2 * place + 2] = value & _MASK
        journal[0] = len(changes)
        self._make_changes()

    def _make_changes(self) -> None:
        journal, words = self._journal, self.words
        count = journal[0]
        if 2 * count >= len(journal):
            raise ValueError("the queue's memory is damaged: make a new queue")
        for place in range(count):
            words[journal[2 * place + 1] % len(words)] = journal[2 * place + 2]
        journal[0] = 0

    def write(self, position: int, part: memoryview) -> None:
        """At this position, which counts on and on."""
        at = position % self.plan.capacity
        first = min(part.nbytes, self.plan.capacity - at)
        flat = part.cast("B")
        self._data[at : at + first] = flat[:first]
        self._data[: part.nbytes - first] = flat[first:]

    def read(self, position: int, size: int) -> bytes:
        """A copy."""
        at = position % self.plan.capacity
        first = min(size, self.plan.capacity - at)
        return bytes(self._data[at : at + first]) + bytes(self._data[: size - first])

    def forked(self) -> None:
        """In a forked child: it has its own lock, and gives its share in the parent's up."""
        self._inside = threading.Lock()
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with suppress(OSError):  # then the ring is closed here
                self._fd = _opened_anew(fd)
            os.close(fd)

    def close(self) -> None:
        """Nobody of this process is inside any more."""
        with self._inside:
            if self._fd < 0:
                return
            os.close(self._fd)
            self._fd = -1
            for view in (self._journal, self.words, self._data):
                view.release()
            self._map.close()


def _opened_anew(fd: int) -> int:
    """The same file, opened apart: the locks of the two do not mix."""
    if sys.platform == "darwin":
        path = fcntl.fcntl(fd, fcntl.F_GETPATH, b"\0" * 1024).rstrip(b"\0")
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)


def _allocate(fd: int, size: int) -> None:
    """In full: no room is an error now, not a bus error later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    block = bytes(1 << 20)
    while size > 0:
        size -= os.write(fd, block[:size])
