"""Wake-up between processes: a bell is a small file, ringing reads one byte of it.

The kernel tells every inotify watch that the file was read. So a ring costs under a microsecond
and writes nothing to the disk (it works when the disk is full), and a listener waits in the kernel
without polling. Where inotify is missing or used up, one thread watches for commits instead.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from penstock.engines.keen import NEVER, Keen
from penstock.errors import ConfigError
from penstock.plan import Listener
from penstock.queues.places import check_private

__all__ = ["Bells"]

_IN_ACCESS = 0x1
_SPARE = 8  # listeners kept for the next wait: making one costs 70 us, and a user has only 128
_POLL = 0.005
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class _Pipe:
    """A listener on any descriptor that becomes readable."""

    def __init__(self, fd: int, done: Callable[[_Pipe], None], keen: Keen) -> None:
        self._fd = fd
        self._done = done
        self._keen = keen

    def fileno(self) -> int:
        return self._fd

    def wait(self, timeout: float | None) -> bool:
        import select

        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        rang = bool(self._keen.poll(poll, timeout))
        if rang:
            self.clear()
        return rang

    def clear(self) -> None:
        try:
            os.read(self._fd, 65536)  # of rings alike the kernel keeps but one
        except BlockingIOError:
            return  # there was none

    def close(self) -> None:
        if self._fd >= 0:
            self._done(self)

    def shut(self) -> None:
        """Close the descriptor itself."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __repr__(self) -> str:
        return f"<listener on descriptor {self._fd}>"


class Bells:
    """The bells in one folder: ring them, listen to them. One owner process; see :meth:`forget`.

    ``version`` gives a number that changes with each commit: asked only where inotify is missing.
    ``keen`` says how listeners wait.
    """

    def __init__(
        self,
        folder: Path,
        *,
        version: Callable[[], int],
        keen: Keen = NEVER,
        inotify: bool = True,
    ) -> None:
        self._folder = folder
        self._keen = keen
        self._watch = _watch if inotify else _no_watch
        self._files: dict[str, int] = {}
        self._spare: dict[tuple[str, ...], list[_Pipe]] = {}
        self._open: weakref.WeakSet[_Pipe] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._poller = _Poller(version, keen)

    def ring(self, names: Sequence[str]) -> None:
        """Wake whoever listens to one of these."""
        for name in names:
            fd = self._files.get(name)
            os.pread(self._file(name) if fd is None else fd, 1, 0)

    def listen(self, names: tuple[str, ...]) -> Listener:
        """A listener that hears every ring from now on."""
        spare = self._spare.get(names)
        if spare:
            with contextlib.suppress(IndexError):  # another thread was faster
                listener = spare.pop()
                listener.clear()
                return listener
        for name in names:
            self._file(name)
        try:
            fd = self._watch([os.fsencode(self._folder / name) for name in names])
        except OSError:  # no inotify, or as many instances as this user may have
            listener = self._poller.listen()
        else:
            listener = _Pipe(fd, functools.partial(self._put_by, names), self._keen)
        self._open.add(listener)
        return listener

    def close(self) -> None:
        """Close what is open; the next ring opens it again."""
        with self._lock:
            for fd in self._files.values():
                os.close(fd)
            self._files.clear()
            for listeners in self._spare.values():
                for listener in listeners:
                    listener.shut()
            self._spare.clear()

    def forget(self) -> None:
        """In a forked child: close the parent's listeners, whose rings are not ours to take."""
        for listener in list(self._open):
            listener.shut()

    def _put_by(self, names: tuple[str, ...], listener: _Pipe) -> None:
        spare = self._spare.setdefault(names, [])
        if len(spare) < _SPARE:
            spare.append(listener)
        else:
            listener.shut()

    def _file(self, name: str) -> int:
        with self._lock:
            if name not in self._files:
                self._files[name] = _made(self._folder, name)
            return self._files[name]


def _made(folder: Path, name: str) -> int:
    """A bell's file, open. The folder may lie where others write: nothing there is followed."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError as error:
        raise ConfigError(f"{folder} must be a folder of this user's: remove what is there") from (
            error
        )
    try:
        if os.geteuid():  # the administrator may look into anybody's file
            check_private(os.fstat(place), str(folder))
        return _opened(place, name, f"{folder}/{name}")
    finally:
        os.close(place)


def _opened(place: int, name: str, path: str) -> int:
    try:
        fd = os.open(name, _OPEN, 0o600, dir_fd=place)
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.EISDIR}:
            raise
        raise ConfigError(f"{path} is no bell: {error.strerror}; remove it") from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise ConfigError(f"{path} is no bell, for it is no ordinary file: remove it")
    if not found.st_size:
        os.pwrite(fd, b"!", 0)  # the byte that a ring reads
    return fd


class _Poller:
    """Rings every listener of its own when ``version`` changes, from a thread."""

    def __init__(self, version: Callable[[], int], keen: Keen) -> None:
        self._version = version
        self._keen = keen
        self._lock = threading.Lock()
        self._ends: dict[_Pipe, int] = {}
        self._thread: threading.Thread | None = None

    def listen(self) -> _Pipe:
        ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        listener = _Pipe(ours, self._leave, self._keen)
        with self._lock:
            self._ends[listener] = theirs
            if self._thread is None:
                seen = self._version()
                self._thread = threading.Thread(
                    target=self._run, args=(seen,), name="penstock-bells", daemon=True
                )
                self._thread.start()
        return listener

    def _leave(self, listener: _Pipe) -> None:
        with self._lock:
            os.close(self._ends.pop(listener))
        listener.shut()

    def _run(self, seen: int) -> None:
        pause = threading.Event()
        while self._listened():
            version = self._version()
            if version != seen:
                seen = version
                self._ring()
            pause.wait(_POLL)

    def _listened(self) -> bool:
        with self._lock:
            if not self._ends:
                self._thread = None
            return self._thread is not None

    def _ring(self) -> None:
        with self._lock:
            for end in self._ends.values():
                with contextlib.suppress(BlockingIOError):  # full: it has been rung before
                    os.write(end, b"!")


def _watch(paths: Sequence[bytes]) -> int:
    """An inotify descriptor that becomes readable when one of the files is read."""
    libc = _libc()
    fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise _errno("no inotify instance")
    for path in paths:
        if libc.inotify_add_watch(fd, path, _IN_ACCESS) < 0:
            error = _errno("no inotify watch")
            os.close(fd)
            raise error
    return fd


def _no_watch(_: Sequence[bytes]) -> int:
    raise OSError("inotify is switched off")


@functools.cache
def _libc() -> "ctypes.CDLL":  # type: ignore[name-defined]  # noqa: F821, UP037
    import ctypes  # only where somebody listens: it costs 5 ms

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        raise OSError("this system has no inotify")
    return libc


def _errno(text: str) -> OSError:
    import ctypes

    return OSError(ctypes.get_errno(), text)
