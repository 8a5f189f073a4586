"""The memory of a queue as an open file: made, found by name, held, and swept when all are dead.

Without a name it is a memory file (Linux), which nothing can leave behind; with one, a file in the
private folder. Whoever uses a queue holds its segment: by a lock on the open file, which forked
children share and which is over when the last of them has closed it or died, in whatever way.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from penstock.errors import ConfigError
from penstock.queues.file_locks import HELD, is_known_locked, lock
from penstock.queues.places import Folder, check_private
from penstock.queues.spill import PREFIX as SPILL
from penstock.queues.spill import owner_of

__all__ = ["Segment", "Sizes", "named", "remove", "sweep", "unnamed"]

_QUEUE = "queue."
_NAMELESS = "~"  # what no name begins with
_MEMORY = "memory."
_USE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRAILER = struct.Struct("=8s8sQQ")  # behind a named queue's memory, for those who find it
_MAGIC = b"penstock"


class Sizes(NamedTuple):
    """What a queue may hold, and which core made it."""

    maxsize: int
    max_bytes: int
    core: str


class Segment(NamedTuple):
    """An open file that this process holds."""

    fd: int
    file: str | None = None  # in the private folder; None: a memory file

    @property
    def name(self) -> str | None:
        """By which others find it."""
        if self.file is None or self.file.startswith(_QUEUE + _NAMELESS):
            return None
        return self.file.removeprefix(_QUEUE)

    @property
    def key(self) -> str:
        """For the names of other files that belong to it."""
        if self.file is not None:
            return self.file
        found = os.fstat(self.fd)
        return f"{_MEMORY}{found.st_dev}-{found.st_ino}"

    def read_sizes(self) -> Sizes | None:
        """What ``finish`` wrote; None where it did not."""
        size = os.fstat(self.fd).st_size
        trailer = os.pread(self.fd, _TRAILER.size, max(0, size - _TRAILER.size))
        if len(trailer) < _TRAILER.size or not trailer.startswith(_MAGIC):
            return None
        _, core, maxsize, max_bytes = _TRAILER.unpack(trailer)
        return Sizes(maxsize, max_bytes, core.rstrip(b"\0").decode("ascii", "replace"))

    def finish(self, sizes: Sizes) -> None:
        """It holds a queue now: leave word of its sizes for those who find it by name.

        Where nobody can, see to it that nobody can make it shorter: a bus error for all.
        """
        if self.file is None:
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)
            return
        trailer = _TRAILER.pack(_MAGIC, sizes.core.encode(), sizes.maxsize, sizes.max_bytes)
        os.pwrite(self.fd, trailer, os.fstat(self.fd).st_size)


@contextmanager
def unnamed(folder: Folder) -> Iterator[Segment]:
    """A new one without a name; closed again if making the queue in it fails."""
    if sys.platform != "linux":  # a name that no queue can have, instead of memory files
        with named(folder, _NAMELESS + os.urandom(8).hex()) as (segment, _):
            yield segment
        return
    fd = os.memfd_create("penstock-queue", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with _closed_on_error(fd):
        lock(fd, HELD, shared=True)
        yield Segment(fd)


@contextmanager
def named(folder: Folder, name: str, *, make: bool = True) -> Iterator[tuple[Segment, bool]]:
    """The segment of this name, and whether it is new and the caller must fill it.

    Nobody else can make, find or sweep queues meanwhile. If filling it fails, it is gone again.
    """
    file = _QUEUE + name
    with folder.locked() as place:
        _sweep_locked(place)
        fd, new = _open(place, file, folder, make=make)
        with _closed_on_error(fd):
            lock(fd, HELD, shared=True)
            try:
                yield Segment(fd, file), new
            except BaseException:
                if new:
                    os.unlink(file, dir_fd=place)
                raise


def _open(place: int, file: str, folder: Folder, *, make: bool) -> tuple[int, bool]:
    path = f"{folder.path}/{file}"
    try:
        fd = os.open(file, _USE, dir_fd=place)
    except FileNotFoundError:
        if not make:
            raise ConfigError(
                f"no process has the queue {file.removeprefix(_QUEUE)!r} any more ({path})"
            ) from None
        return os.open(file, _USE | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=place), True
    except OSError as error:
        raise ConfigError(f"{path} is no queue: {error.strerror}; remove it") from error
    with _closed_on_error(fd):
        _check(fd, path)
    return fd, False


def _check(fd: int, path: str) -> None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path} is no queue: it is no ordinary file; remove it")
    check_private(found, path)


@contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def sweep(folder: Folder) -> None:
    """Remove the files of queues that nobody has any more."""
    with folder.locked_if_there() as place:
        if place is not None:
            _sweep_locked(place)


def remove(folder: Folder, segment: Segment) -> None:
    """Remove the files of a queue whose last process ends with it open."""
    with folder.locked_if_there() as place:
        files = [] if place is None else os.listdir(place)  # noqa: PTH208 - a descriptor
        for file in files:
            if file == segment.file or (file.startswith(SPILL) and owner_of(file) == segment.key):
                os.unlink(file, dir_fd=place)


def _sweep_locked(place: int) -> None:
    files = os.listdir(place)
    queues = {file for file in files if file.startswith(_QUEUE)}
    left = {file for file in queues if _is_left(place, file)}
    spilled = [file for file in files if file.startswith(SPILL)]
    gone = (file for file in spilled if not _has_owner(owner_of(file), queues - left))
    for file in [*left, *gone]:
        with suppress(FileNotFoundError):  # a consumer was quicker
            os.unlink(file, dir_fd=place)


def _is_left(place: int, file: str) -> bool:
    """Whether nobody holds it. What is no file of this user's is left alone."""
    try:
        fd = os.open(file, _USE, dir_fd=place)
    except OSError:  # not a file, or not ours
        return False
    try:
        ours = os.fstat(fd).st_uid == os.geteuid()
        return ours and lock(fd, HELD)
    finally:
        os.close(fd)


def _has_owner(key: str, queues: set[str]) -> bool:
    if not key.startswith(_MEMORY):
        return key in queues
    device, _, inode = key.removeprefix(_MEMORY).partition("-")
    if not (device.isdigit() and inode.isdigit()):
        return True  # not named by us
    return is_known_locked(int(device), int(inode))
