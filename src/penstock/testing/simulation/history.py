"""What happened, line by line, in the order it happened: to be read, and to be compared."""

from __future__ import annotations

import hashlib

__all__ = ["History"]


class History:
    """The steps of one run. Lines name publications by number, so that a replay gives the same."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, str, str]] = []

    def note(self, now: float, who: str, what: str) -> None:
        """Add a line; ``now`` is virtual time in seconds since the start."""
        self._lines.append((now, who, what))

    def tail(self, count: int) -> list[str]:
        """The last lines, as text."""
        start = max(0, len(self._lines) - count)
        return [self._line(number) for number in range(start, len(self._lines))]

    def about(self, name: str, count: int) -> list[str]:
        """The last lines that speak of the publication ``name``."""
        numbers = [n for n, (*_, what) in enumerate(self._lines) if name in what.split()]
        return [self._line(number) for number in numbers[-count:]]

    def digest(self) -> str:
        """Equal for equal histories."""
        text = "\n".join(map(self._line, range(len(self._lines))))
        return hashlib.sha256(text.encode()).hexdigest()

    def _line(self, number: int) -> str:
        now, who, what = self._lines[number]
        return f"{number:5d} {now:10.3f}s  {who:<12} {what}"

    def __len__(self) -> int:
        return len(self._lines)

    def __repr__(self) -> str:
        return f"History({len(self)} lines)"
