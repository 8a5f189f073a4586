"""The file behind a ``sqlite://`` URL: where it is, whether it may be used, how it is opened."""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from penstock.engines.sqlite_errors import translated
from penstock.engines.statements import Statements
from penstock.errors import ConfigError, Unavailable
from penstock.url import Url

if TYPE_CHECKING:
    import apsw

__all__ = ["Location", "check_folder", "connect", "is_ours"]

_SQL = Statements("penstock.engines.sql")
_APPLICATION = 0x70656E73  # "pens", in the header of every file of ours
_HEADER = 72  # bytes of a file, of which the last four are the application's number
_SCHEMA = 1
_OLDEST = (3, 51, 3)  # before it, a checkpoint racing with a WAL reset could lose commits
_PATIENCE = 5.0  # seconds to wait for another process's transaction
_CHECKPOINT = 2000  # pages of log (8 MB) that are written back at once
_DURABILITY = {"full": "FULL", "process": "NORMAL"}
_NETWORK = frozenset({
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "virtiofs", "afs", "ceph"),
    *("glusterfs", "lustre", "ocfs2", "gfs2", "beegfs", "fuse.sshfs", "fuse.glusterfs"),
    *("fuse.s3fs", "fuse.rclone", "fuse.ceph"),
})  # fmt: skip


class Location(msgspec.Struct, frozen=True):
    """One database file: its absolute path and the durability of its commits."""

    path: str
    synchronous: str = "FULL"

    @classmethod
    def of(cls, url: str | Url) -> Location:
        """The file that a URL means now; ``sqlite:///x`` is relative to the current folder."""
        address = Url.parse(url)
        name = address.path.removeprefix("/")
        if address.host or not name:
            raise ConfigError(
                f"{address} names no file; write sqlite:///name.db for one in the current folder, "
                "or sqlite:////folder/name.db (four slashes) for an absolute path"
            )
        unknown = sorted(address.options.keys() - {"durability"})
        if unknown:
            raise ConfigError(f"{address} has no option {', '.join(unknown)}; it has: durability")
        wish = address.options.get("durability", "full")
        if wish not in _DURABILITY:
            raise ConfigError(f"{address}: durability={wish} is neither full nor process")
        return cls(os.path.realpath(name), _DURABILITY[wish])


def connect(location: Location, *, writes: bool) -> apsw.Connection:
    """A connection to the file, which is made if it is not there.

    Raises ConfigError where the file cannot be ours, Unavailable where it can be later.
    """
    import apsw

    _check_library()
    _check_place(Path(location.path))
    try:
        connection = apsw.Connection(location.path, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            _set_up(connection, location, writes=writes)
        except BaseException:
            connection.close()
            raise
    except apsw.Error as error:
        raise translated(error, location.path) from error
    return connection


def _check_library() -> None:
    import apsw

    version = apsw.sqlite_lib_version()
    if tuple(map(int, version.split("."))) < _OLDEST:
        raise ConfigError(
            f"apsw brings SQLite {version}, which can lose commits when checkpoints meet "
            f"(fixed in {'.'.join(map(str, _OLDEST))}); run: pip install --upgrade apsw"
        )


# --- the place ------------------------------------------------------------------------------


def _check_place(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        check_folder(path)
        _make(path)
        return
    except OSError as error:
        raise ConfigError(f"{path} cannot be looked at: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise ConfigError(f"{path} is {kind}; name a file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise ConfigError(f"{path} may not be read and written by this user; check owner and mode")
    check_folder(path)


def is_ours(path: Path) -> bool:
    """True for a file of this engine. Not for one that this process has open: see locks, POSIX."""
    try:
        with path.open("rb") as file:
            return file.read(_HEADER)[-4:] == _APPLICATION.to_bytes(4)
    except OSError:
        return False


def check_folder(path: Path) -> None:
    """Raises ConfigError for a file whose folder is missing, not writable, or on a network."""
    folder = path.parent
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder} for {path.name}; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{path} needs a folder that this user may write: {folder} is not")
    kind = _file_system(folder)
    if kind in _NETWORK:
        raise ConfigError(
            f"{path} is on a network file system ({kind}), where SQLite's locks do not hold; "
            "use a local disk, or a server such as redis:// or postgresql://"
        )


def _file_system(folder: Path) -> str:
    """The type of the file system that a folder is on; empty where the system does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:  # no /proc
        return ""
    found, kind = Path(), ""
    for line in lines:
        _, point, this, *_ = line.split(" ")
        mount = Path(point.replace("\\040", " "))
        # A later line lies over an earlier one at the same place.
        if folder.is_relative_to(mount) and len(mount.parts) >= len(found.parts):
            found, kind = mount, this
    return kind


def _make(path: Path) -> None:
    """An empty file that only its owner may open; SQLite gives -wal and -shm the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return  # another process was faster
    except PermissionError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}") from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be made: {error.strerror}") from error


# --- the connection -------------------------------------------------------------------------


def _set_up(connection: apsw.Connection, location: Location, *, writes: bool) -> None:
    import apsw

    # Plans do not depend on the values that are bound. Otherwise SQLite prepares a statement that
    # leans on a partial index anew at each use: a claim took 22 us for what takes 4.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.set_busy_handler(_waiting())
    connection.pragma("synchronous", location.synchronous)
    if connection.pragma("journal_mode") != "wal" or _version(connection) != _SCHEMA:
        _prepare(connection, location.path)
    connection.pragma("wal_autocheckpoint", _CHECKPOINT)
    connection.pragma("journal_size_limit", 16 * 1024 * 1024)
    connection.pragma("cache_size", -8000)
    connection.pragma("temp_store", "memory")
    if not writes:
        connection.pragma("query_only", True)


def _waiting() -> Callable[[int], bool]:
    """How to wait for another process: short naps of random length, up to a limit.

    SQLite's own handler naps up to 100 ms: with three processes that commit without a pause its
    longest wait was 2.0 s, with this one 0.1 s.
    """
    since = 0.0

    def wait(tries: int) -> bool:
        nonlocal since
        now = time.monotonic()
        if not tries:
            since = now
        waited = now - since
        time.sleep(random.uniform(0.0001, 0.0005) if waited < 1.0 else random.uniform(0.002, 0.01))
        return waited < _PATIENCE

    return wait


def _version(connection: apsw.Connection) -> int:
    """The version of the file's schema, 0 for an empty file; ConfigError if it is not ours."""
    with connection:  # one state of the file, for another process may be making it ours
        number: int = connection.pragma("user_version")
        ours = connection.pragma("application_id") == _APPLICATION
        used = connection.execute("SELECT count(*) FROM sqlite_schema").get or number
    if used and not ours:
        raise ConfigError(
            f"{connection.filename} is the database of another program; name another file"
        )
    return number if ours else 0


def _prepare(connection: apsw.Connection, path: str) -> None:
    """Make the file ours: its log, its tables. Two processes that both try do it once."""
    _into_wal(connection, path)
    connection.execute("BEGIN IMMEDIATE")
    try:
        _migrate(connection, path)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _migrate(connection: apsw.Connection, path: str) -> None:
    version = _version(connection)
    if version > _SCHEMA:
        raise ConfigError(
            f"{path} was made by a newer penstock (schema {version}, this one reads "
            f"{_SCHEMA}); upgrade penstock or name another file"
        )
    if not version:
        for _ in connection.execute(_SQL.schema):  # runs its statements one by one
            pass
        connection.pragma("application_id", _APPLICATION)
        connection.pragma("user_version", _SCHEMA)


def _into_wal(connection: apsw.Connection, path: str) -> None:
    """Switch to a write-ahead log; the busy handler is not asked while another process does."""
    import apsw

    wait = _waiting()
    for tries in range(1_000_000):
        try:
            if connection.pragma("journal_mode", "wal") == "wal":
                return
        except apsw.BusyError:
            if wait(tries):
                continue
            raise
        raise ConfigError(f"{path}: this file system has no shared memory for SQLite's log")
