"""A target: where inputs come from, and what reads them."""

import dataclasses
from collections.abc import Callable

from mutation import mutated

__all__ = ["Target", "attempt"]

LONG = 2000  # characters of a reason


@dataclasses.dataclass(frozen=True)
class Target:
    """``read(data, chance)`` raises for a finding only; what a reader may say, it takes."""

    name: str
    seeds: Callable  # -> what is mutated
    read: Callable
    make: Callable = mutated  # (chance, seeds) -> one input


def attempt(read, data, *errors):
    """What a reader gives; None where it refuses with one of these, for a reason in words."""
    try:
        return read(data)
    except errors as error:
        reason = str(error)
    assert 0 < len(reason) < LONG, reason[: 2 * LONG]  # it stands in logs
    return None
