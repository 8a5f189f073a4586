"""Moments on the wire: ISO 8601 text there, wall time in float seconds here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from penstock.errors import DecodeError, EncodeError

__all__ = ["read_moment", "write_moment"]


def write_moment(seconds: float) -> str:
    """Wall seconds as text with its offset, ``2026-11-23T05:37:41.856272+00:00``."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError, TypeError) as error:
        raise EncodeError(
            f"{seconds!r} is no moment that can be written: give wall time in seconds, "
            "of the years 1 to 9999"
        ) from error


def read_moment(value: Any) -> float:
    """Wall seconds of ISO 8601 text; without an offset it is UTC. Raises DecodeError."""
    moment = value if isinstance(value, datetime) else _parsed(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parsed(value: Any) -> datetime:
    if not isinstance(value, str):
        raise DecodeError(f"a moment is ISO 8601 text, not {type(value).__name__}")
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise DecodeError(f"{value[:80]!r} is no ISO 8601 moment") from error
