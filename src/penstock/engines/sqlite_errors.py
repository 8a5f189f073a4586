"""SQLite's errors as penstock's: each names the file and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import BrokerError, ConfigError, PenstockError, Unavailable, Uncertain

if TYPE_CHECKING:
    import apsw

__all__ = ["translated"]


def translated(error: apsw.Error, path: str, *, committing: bool = False) -> PenstockError:
    """The error to raise from ``error``; ``committing``: it came while COMMIT ran."""
    import apsw

    if isinstance(error, apsw.IOError) and committing:
        # The frames may have reached the file although their fsync failed: after a restart
        # they may count, so neither "stored" nor "not stored" would be true.
        return Uncertain(f"{path}: the disk failed during the commit ({error}); check the disk")
    for kind, made, text in _texts():
        if isinstance(error, kind):
            return made(f"{path}{text} ({error})")
    return BrokerError(f"{path}: SQLite refused it: {error}")


def _texts() -> tuple[tuple[type[apsw.Error], type[PenstockError], str], ...]:
    import apsw

    return (
        (apsw.FullError, Unavailable, ": the disk is full, nothing was stored; free some space"),
        (
            apsw.BusyError,
            Unavailable,
            " was locked too long, nothing was stored; look for a stopped process that has it open",
        ),
        (apsw.IOError, Unavailable, ": the disk failed, nothing was stored; check the disk"),
        (apsw.ReadOnlyError, ConfigError, " is read-only; give write access or name another file"),
        (apsw.NotADBError, ConfigError, " is not a SQLite database; name another file"),
        (
            apsw.CorruptError,
            BrokerError,
            " is damaged; stop all workers and restore it, or move it away with its -wal file",
        ),
        (
            apsw.CantOpenError,
            ConfigError,
            " cannot be opened; check that this user may read and write it and its folder",
        ),
        (apsw.PermissionsError, ConfigError, ": access is denied; check the owner and mode"),
        (apsw.TooBigError, BrokerError, ": the message is larger than SQLite can hold (1 GB)"),
    )
