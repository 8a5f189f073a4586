"""The health probe: a Unix socket by which a worker tells how it is, to its own user alone.

It answers from memory, with the broker away too, from a thread of its own, and that a loop hangs is
one of the things it tells. Who connects gets one JSON object and the end of the stream.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from penstock.errors import ConfigError
from penstock.queues.places import check_private

__all__ = ["Health", "Probe", "ask_all", "folder", "read_health"]

VARIABLE = "PENSTOCK_RUNTIME_DIR"
_PATIENCE = 2.0  # seconds for an answer; a worker that is not stopped takes under a millisecond
_LONGEST = 64 * 1024
_PATH_LIMIT = 100  # bytes that an address may have: 108 with what the system adds


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How one worker is. Times are seconds."""

    name: str
    pid: int
    app: str
    pool: str
    queues: tuple[str, ...]
    alive: bool  # its loop comes round
    broker: bool  # it reaches the broker
    consuming: bool  # both, and its executors take tasks
    stopping: bool
    executors: int  # ready for tasks
    running: int
    waiting: int  # claimed, for want of a free executor here
    claimed: int  # since it started
    silent: float  # since its loop came round last
    up: float  # since it started


def folder() -> Path:
    """Where this user's workers have their sockets; PENSTOCK_RUNTIME_DIR chooses another place."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    parent = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(parent) / f"penstock-workers-{os.geteuid()}"


class Probe:
    """Answers until it is closed. ``health`` is called in its thread."""

    def __init__(self, health: Callable[[], Health], *, place: Path | None = None) -> None:
        self._health = health
        self._folder = folder() if place is None else place
        self._path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        self._listening: socket.socket | None = None

    def open(self) -> None:
        """Begin to answer; raises ConfigError where the folder is not private, or OSError."""
        _make(self._folder)
        _check(self._folder)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _address(self._path) as address:
            self._listening.bind(address)  # in a folder that nobody else can enter
        self._path.chmod(0o600)
        self._listening.listen()
        threading.Thread(
            target=self._serve, args=(self._listening,), daemon=True, name="health"
        ).start()

    def close(self) -> None:
        """Answer no more."""
        if self._listening is None:
            return
        with contextlib.suppress(OSError):  # it could not be bound
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._path.unlink(missing_ok=True)

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                asking, _ = listening.accept()
            except OSError:  # closed
                return
            with asking, contextlib.suppress(OSError):  # who asked did not wait
                asking.settimeout(_PATIENCE)
                asking.sendall(msgspec.json.encode(self._health()))

    def __repr__(self) -> str:
        return f"Probe({str(self._path)!r})"


def ask_all(place: Path | None = None) -> list[Health]:
    """How this user's workers on this machine are; who cannot answer is told as not alive.

    Raises ConfigError where the folder is not private: anybody could answer then.
    """
    where = folder() if place is None else place
    try:
        _check(where)
    except FileNotFoundError:
        return []
    return [health for path in sorted(where.glob("*.sock")) if (health := _ask(path)) is not None]


def _make(place: Path) -> None:
    """With all that lies above it, for this user alone: who may write there may replace it."""
    if not place.parent.exists():
        _make(place.parent)
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)


def _check(place: Path) -> None:
    found = place.stat(follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{place} must be a folder of this user's with mode 0700")
    check_private(found, str(place))


def _ask(path: Path) -> Health | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(_PATIENCE)
        try:
            with _address(path) as address:
                line.connect(address)
            return read_health(_read(line)) or _silent(path)
        except (ConnectionRefusedError, FileNotFoundError):  # left behind by one that was killed
            path.unlink(missing_ok=True)
            return None
        except OSError:  # it is stopped
            return _silent(path)


def read_health(answer: bytes) -> Health | None:
    """What a probe answered; None for what no probe of ours says."""
    try:
        return msgspec.json.decode(answer, type=Health)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _read(line: socket.socket) -> bytes:
    said = b""
    while len(said) < _LONGEST and (more := line.recv(_LONGEST)):
        said += more
    return said


def _silent(path: Path) -> Health | None:
    """One that does not answer, told by the name of its socket; None where that is not ours."""
    pid = path.name.partition("-")[0]
    if not (pid.isascii() and pid.isdecimal()):
        return None
    nothing: dict[str, Any] = dict.fromkeys(("app", "pool"), "")
    nothing |= dict.fromkeys(("alive", "broker", "consuming", "stopping"), False)
    nothing |= dict.fromkeys(("executors", "running", "waiting", "claimed"), 0)
    return Health(name="", pid=int(pid), queues=(), silent=_PATIENCE, up=0.0, **nothing)


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path as an address, by way of its open folder where it is too long for one."""
    if len(os.fsencode(path)) < _PATH_LIMIT:
        yield str(path)
        return
    place = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{place}/{path.name}"
    finally:
        os.close(place)
