"""What came of one seed, in figures and in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from penstock.testing.simulation.history import History

__all__ = ["Report"]

_LAST = 25
_ABOUT = 15


@dataclass(frozen=True, slots=True)
class Report:
    """One run. ``failure`` is None where every promise held."""

    seed: int
    history: History = field(repr=False)
    failure: Exception | None = None
    published: int = 0
    leased: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def explain(self) -> str:
        """What failed: the seed, the last steps, and those of the publication it is about."""
        if self.failure is None:
            return f"seed {self.seed}: every promise held"
        about = str(self.failure).split()
        named = [word.strip(":,") for word in about if word[:1] == "m" and word[1:2].isdigit()]
        return "\n".join(
            (
                f"seed {self.seed} fails after {len(self.history)} lines of history",
                f"  {type(self.failure).__name__}: {self.failure}",
                *self._story(named[0] if named else ""),
                "the last steps:",
                *self.history.tail(_LAST),
            )
        )

    def _story(self, name: str) -> list[str]:
        return [f"the story of {name}:", *self.history.about(name, _ABOUT)] if name else []
