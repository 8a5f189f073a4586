"""What a sender may wish for: how urgent it is, from when, until when; as the wire says it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from penstock.errors import ConfigError

__all__ = ["HIGHEST", "LOWEST", "Priority", "start_time", "wall_time", "wire_priority"]

Priority = int | Literal["high", "low"]
HIGHEST, LOWEST = 9, 0


def wire_priority(priority: object, *, highest_first: bool) -> int:
    """The integer that says it on a broker; ``"high"`` and ``"low"`` mean the same on each.

    Raises ConfigError for what is no priority.
    """
    if priority == "high":
        return HIGHEST if highest_first else LOWEST
    if priority == "low":
        return LOWEST if highest_first else HIGHEST
    if isinstance(priority, int) and LOWEST <= priority <= HIGHEST:
        return priority
    raise ConfigError(f'priority {priority!r} is neither 0 to 9 nor "high" nor "low"')


def wall_time(value: datetime | timedelta | float, now: float, *, relative: bool = False) -> float:
    """Unix time of a point in time. Numbers are Unix time, or ``relative`` to ``now``.

    A naive datetime is UTC, as for Celery with ``enable_utc``. Raises ConfigError.
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, timedelta):
        return now + value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{value!r} is no time: give a datetime or a number of seconds")
    return now + value if relative else float(value)


def start_time(countdown: float | None, eta: datetime | float | None, now: float) -> float | None:
    """Unix time before which it must not start; None: at once. A countdown beats an ``eta``."""
    if countdown is not None:
        return now + countdown if countdown > 0 else None
    return None if eta is None else wall_time(eta, now)
