"""How a queue treats its items: how long a lease is, how often a failing item is tried."""

from __future__ import annotations

from typing import Self

import msgspec

from penstock.errors import ConfigError

__all__ = ["Rules"]

_SHORTEST_LEASE = 0.05


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """One queue object's own choices; other processes may have made others for the same queue."""

    lease: float = 15.0  # seconds, renewed for as long as the process lives
    max_attempts: int = 3  # failures after which an item is kept aside
    max_deaths: int = 10  # holders that died over it, after which it is kept aside
    retry_delay: float = 0.0  # seconds that a failed item waits before it is tried again
    patience: float = 5.0  # seconds for which a broker that is down is waited for

    def checked(self) -> Self:
        """These rules; raises ConfigError for one that makes no sense."""
        for name, least in (
            ("lease", _SHORTEST_LEASE),
            ("max_attempts", 1),
            ("max_deaths", 1),
            ("retry_delay", 0),
            ("patience", 0),
        ):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and least <= value < float("inf")):
                raise ConfigError(f"{name} must be a number from {least} upwards, not {value!r}")
        return self
