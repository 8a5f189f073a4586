"""What goes wrong in one run, and how often: drawn from the seed before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

__all__ = ["CALM", "Fault", "Weather"]

Fault = Literal[
    "crash before",  # the caller dies, nothing was asked
    "crash after",  # it happened, and the caller died before it heard of it
    "refused",  # surely not done, and the caller is told so
    "vanished",  # not done, and the caller cannot know
    "reply lost",  # done, and the caller cannot know
    "repeated",  # done, the reply was lost, and the caller's driver asked again
    "pause before",  # the caller stands still longer than its leases last, then asks
    "pause after",  # it asked, and hears of it only when its leases are over
]
_FAULTS: tuple[Fault, ...] = Fault.__args__  # type: ignore[attr-defined]
_RATES = (0.01, 0.03, 0.08)  # of each kind that blows, per exchange


@dataclass(frozen=True, slots=True)
class Weather:
    """The faults of one run, each with its share of all exchanges, and what the clock does."""

    rates: tuple[tuple[Fault, float], ...] = ()
    jumps: int = 0  # of the wall clock, forth or back
    reboots: int = 0

    @classmethod
    def draw(cls, rng: Random, *, reboots: bool, jumps: bool) -> Weather:
        """One run in four is calm; in the others, some kinds blow, each as hard as it likes."""
        if rng.random() < 0.25:
            return cls(jumps=rng.choice((0, 0, 3)) * jumps)
        kinds = [fault for fault in _FAULTS if rng.random() < 0.6]
        return cls(
            rates=tuple((kind, rng.choice(_RATES)) for kind in kinds),
            jumps=rng.choice((0, 2, 5)) * jumps,
            reboots=rng.choice((0, 0, 0, 1, 2)) if reboots else 0,
        )

    def fault(self, rng: Random) -> Fault | None:
        """What goes wrong with the next exchange; most often nothing."""
        chance = rng.random()
        for kind, rate in self.rates:
            if chance < rate:
                return kind
            chance -= rate
        return None


CALM = Weather()
