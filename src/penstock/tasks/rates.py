"""Rate limits as Celery writes them: ``10/s``, ``100/m``, ``5/h``, or a number a second."""

from __future__ import annotations

from penstock.errors import ConfigError

__all__ = ["parse_rate"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_rate(text: object) -> float | None:
    """Tasks a second from Celery's ``10/s``, ``100/m``, ``5/h`` or a number; None: no limit.

    Raises ConfigError.
    """
    if text is None or text == "":
        return None
    number, _, unit = str(text).partition("/")
    try:
        rate = float(number) / _UNITS[unit.strip() or "s"]
    except (ValueError, KeyError):
        raise ConfigError(
            f"rate_limit {text!r:.100} is not a number of tasks per s, m or h, such as '10/m'"
        ) from None
    return rate if rate > 0 else None
