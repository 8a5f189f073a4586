"""The private folder of a user, where named queues and large items have their files.

It is made when it is needed and goes when it is empty. Nobody else can look into it, and a folder
that somebody else made in its place is refused.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from penstock.errors import ConfigError, QueueError

__all__ = ["Folder", "check_name", "check_private", "private_folder"]

_SHARED_MEMORY = "/dev/shm"  # noqa: S108  # our folder in it is ours alone, and that is checked
_LONGEST_NAME = 100
_PATIENCE = 5.0  # the folder is locked for milliseconds, or by a process that was stopped
_NAP = 0.001
_NOT_A_FOLDER = {errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM}


def check_name(name: object) -> str:
    """The name of a queue, if it can be one. Raises TypeError and ConfigError."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a queue is a string, not {name!r}")
    if not 0 < len(name) <= _LONGEST_NAME or not all(map(_may_be_in_a_name, name)):
        raise ConfigError(
            f"{name!r} cannot be the name of a queue: take 1 to {_LONGEST_NAME} letters (a to z),"
            " digits, '.', '_' and '-'"
        )
    return name


def _may_be_in_a_name(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter in "._-")


def private_folder() -> Folder:
    """The calling user's: in shared memory where the system has such a folder."""
    return _folder_of(os.geteuid())


@functools.cache  # so that a thread can see that it has the lock already
def _folder_of(uid: int) -> Folder:
    parent = _SHARED_MEMORY
    if not os.path.isdir(parent):  # noqa: PTH112
        import tempfile

        parent = tempfile.gettempdir()
    return Folder(f"{parent}/penstock-{uid}")


class Folder:
    """A folder of one user. Its lock is held while queues are made, found and swept."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._inside: tuple[int, int] | None = None  # process and thread that have the lock

    def make(self) -> None:
        """Make it, if it is not there; it may go again at once, when it is empty."""
        try:
            os.mkdir(self.path, 0o700)  # noqa: PTH102
        except FileExistsError:
            pass
        except OSError as error:
            raise QueueError(
                f"{self.path} cannot be made: {error.strerror}; this user must be able to write to"
                " the folder above it"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[int]:
        """A descriptor of the folder, which is made if needed, and whose lock we have.

        Raises ConfigError where it is not private, QueueError where it stays locked.
        """
        fd = None
        while fd is None:
            self.make()
            fd = self._enter()
        with self._leaving(fd):
            yield fd

    @contextmanager
    def locked_if_there(self) -> Iterator[int | None]:
        """The same, but None where there is no such folder, or where this thread has it already.

        The latter when the interpreter collects a queue while it makes another.
        """
        fd = None if self._inside == _myself() else self._enter()
        if fd is None:
            yield None
            return
        with self._leaving(fd):
            yield fd

    @contextmanager
    def _leaving(self, fd: int) -> Iterator[None]:
        self._inside = _myself()
        try:
            yield
        finally:
            self._inside = None
            with suppress(OSError):  # it is not empty
                os.rmdir(self.path)  # noqa: PTH106
            # Not only closed: a process that was forked meanwhile has it open as well.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def _enter(self) -> int | None:
        while True:
            try:
                fd = self._open()
            except FileNotFoundError:
                return None
            try:
                self._lock(fd)
                if self._is_still(fd):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _is_still(self, fd: int) -> bool:
        """Whether it is the folder at our path: it may have gone while we waited."""
        try:
            now = os.stat(self.path, follow_symlinks=False)  # noqa: PTH116
        except FileNotFoundError:
            return False
        return os.path.samestat(now, os.fstat(fd))

    def _open(self) -> int:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno not in _NOT_A_FOLDER:
                raise QueueError(f"{self.path} cannot be opened: {error.strerror}") from error
            raise ConfigError(
                f"{self.path} must be a folder of this user's, with mode 0700: {error.strerror};"
                " remove what is there"
            ) from error
        try:
            check_private(os.fstat(fd), self.path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _lock(self, fd: int) -> None:
        end = time.monotonic() + _PATIENCE
        while not _try_lock(fd):
            if time.monotonic() > end:
                raise QueueError(
                    f"{self.path} has been locked for {_PATIENCE:g} s: a process of this user was"
                    " stopped while it made or closed a queue; continue or end it"
                )
            time.sleep(_NAP)

    def __repr__(self) -> str:
        return f"Folder({self.path!r})"


def _myself() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_private(found: os.stat_result, path: str) -> None:
    """Raises ConfigError unless it is this user's, and nobody else may touch it."""
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} belongs to user {found.st_uid}, not to user {os.geteuid()}: it is refused;"
            " its owner or the administrator must remove it"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(
            f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}): it is refused;"
            " remove it if you do not know who changed it, or chmod go= it"
        )
