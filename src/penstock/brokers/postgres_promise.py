"""What a PostgreSQL server's settings mean for messages that it acknowledged."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ASKED", "promise"]

ASKED = ("synchronous_commit", "fsync", "full_page_writes", "synchronous_standby_names")

_WORKERS = "what is acknowledged outlives the death of every worker"


def promise(settings: Mapping[str, str]) -> str:
    """One line."""
    commit = settings.get("synchronous_commit", "on")
    if settings.get("fsync") == "off":
        return (
            f"{_WORKERS} and of the server's processes; a power loss may damage all of it "
            "(fsync = off: turn it on)"
        )
    if commit == "off":
        return (
            f"{_WORKERS}; of the server's death, but for its last half second "
            "(synchronous_commit = off)"
        )
    standbys = settings.get("synchronous_standby_names", "")
    if not standbys or commit == "local":
        return f"{_WORKERS}, of the server, and a power loss (synchronous_commit = {commit})"
    return (
        f"{_WORKERS}, of the server, a power loss, and the loss of its disk "
        f"(synchronous_commit = {commit} on {standbys})"
    )
