"""What the journal says at this moment."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from penstock.demo.account import Run
from penstock.demo.journal import JOURNAL, Entry, Follower

__all__ = ["Watch"]


class Watch:
    """Follows the journal; :meth:`look` reads what is new, the rest tells what is known."""

    def __init__(self, folder: Path) -> None:
        self._follower = Follower(folder / JOURNAL)
        self._open: dict[int, Run] = {}  # by pid
        self._ended: dict[str, set[int]] = defaultdict(set)  # step -> orders
        self._pids: set[int] = set()

    @property
    def entries(self) -> list[Entry]:
        """Everything read so far."""
        return self._follower.entries

    def look(self) -> bool:
        """Read on; true when there was anything new."""
        new = self._follower.read()
        for entry in new:
            self._note(entry)
        return bool(new)

    def _note(self, entry: Entry) -> None:
        self._pids.add(entry.pid)
        if entry.edge == "start":
            self._open[entry.pid] = Run(
                entry.step, entry.order, entry.task, entry.parent, entry.pid, entry.at
            )
        else:
            self._open.pop(entry.pid, None)
            self._ended[entry.step].add(entry.order)

    def done(self) -> dict[str, int]:
        """How many orders each step has ended for."""
        return {step: len(orders) for step, orders in self._ended.items()}

    def open_runs(self) -> list[Run]:
        """Runs that have started and not ended, by what the journal says now."""
        self.look()
        return list(self._open.values())

    def pids(self) -> frozenset[int]:
        """Every process that wrote."""
        self.look()
        return frozenset(self._pids)
