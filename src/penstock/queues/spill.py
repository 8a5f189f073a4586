"""Where items go that are larger than half of their queue: files in the private folder.

A file is complete before its name is put into the queue, and is removed by who gets the item. Its
name says to which queue it belongs, so that what the dead left can be swept.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from penstock.errors import Full, QueueError
from penstock.queues.places import Folder

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PREFIX", "Spill", "owner_of"]

PREFIX = "spill."
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PARTS = 1000  # the system takes no more than this at once


def owner_of(file: str) -> str:
    """The key of the queue to which this file belongs."""
    return file.split(".", 2)[-1]


class Spill:
    """The files of one queue, which has this key."""

    def __init__(self, folder: Folder, key: str) -> None:
        self._folder = folder
        self._key = key

    def store(self, parts: list[Buffer]) -> bytes:
        """The name of a new file with all parts. Raises Full where there is no room for it."""
        name = f"{PREFIX}{os.urandom(8).hex()}.{self._key}"
        views = [memoryview(part).cast("B") for part in parts]
        size = sum(view.nbytes for view in views)
        fd = self._create(name)
        try:
            _allocate(fd, size)
            _write(fd, views)
        except OSError as error:
            self.drop(name.encode())
            raise Full(
                f"no room for an item of {size} bytes in {self._folder.path}: {error.strerror};"
                " free some there, get other large items first, or put smaller ones"
            ) from error
        except BaseException:
            self.drop(name.encode())
            raise
        finally:
            os.close(fd)
        return name.encode()

    def load(self, name: bytes) -> bytearray:
        """What was stored, which is then removed: before it is read, lest a death leave it."""
        path = self._path(name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise QueueError(
                f"an item was stored in {path}, which cannot be read: {error.strerror}; the item"
                " is lost"
            ) from error
        try:
            self.drop(name)
            return _read(fd)
        finally:
            os.close(fd)

    def drop(self, name: bytes) -> None:
        """Remove it, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(name))  # noqa: PTH108

    def _create(self, name: str) -> int:
        path = self._path(name.encode())
        while True:
            try:
                return os.open(path, _NEW, 0o600)
            except FileNotFoundError:
                self._folder.make()  # it goes whenever it is empty
            except OSError as error:
                raise Full(f"{path} cannot be made for a large item: {error.strerror}") from error

    def _path(self, name: bytes) -> str:
        # A name comes out of memory that others write too: it must not lead out of the folder.
        return f"{self._folder.path}/{os.path.basename(name.decode('ascii', 'replace'))}"  # noqa: PTH119

    def __repr__(self) -> str:
        return f"Spill({self._folder!r}, {self._key!r})"


def _allocate(fd: int, size: int) -> None:
    """In full and at once, where the system can: half a file must not fill the disk in vain."""
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)


def _write(fd: int, views: list[memoryview]) -> None:
    while views:
        done = os.writev(fd, views[:_PARTS])
        while views and done >= views[0].nbytes:
            done -= views.pop(0).nbytes
        if done:
            views[0] = views[0][done:]


def _read(fd: int) -> bytearray:
    data = bytearray(os.fstat(fd).st_size)
    view = memoryview(data)
    while view and (count := os.readv(fd, [view])):
        view = view[count:]
    return data
