"""What one queue object has done in this process, in numbers."""

from __future__ import annotations

import threading

__all__ = ["NAMES", "Tally"]

NAMES = ("put", "got", "done", "returned", "dead", "expired", "lost")


class Tally:
    """Counts by name; for any number of threads. A forked child counts from zero."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(NAMES, 0)

    def add(self, name: str, count: int = 1) -> None:
        """Count so many more."""
        with self._lock:
            self._counts[name] += count

    def counts(self) -> dict[str, int]:
        """All of them, as they stand."""
        with self._lock:
            return dict(self._counts)

    def __repr__(self) -> str:
        return f"Tally({self.counts()})"
