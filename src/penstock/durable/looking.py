"""Looking into a queue: how many wait, what is held here, what was kept aside."""

from __future__ import annotations

from typing import Any, TypeVar

from penstock.durable.desk import Desk
from penstock.durable.letters import DeadItem
from penstock.durable.steps import Ask, Work

__all__ = ["Looking"]

R = TypeVar("R")


class Looking:
    """The half of a queue that people use. Blocking only: in a coroutine, on a thread."""

    _desk: Desk

    def _look(self, method: str, *arguments: Any) -> Any:
        self._desk.needs("inspects")
        return self._desk.run(_asking(method, arguments))

    def qsize(self) -> int:
        """How many wait, delayed ones included; those that somebody holds are not counted."""
        count: int = self._look("depth", self._desk.queue)
        return count

    def empty(self) -> bool:
        """True when none waits, not even a delayed one."""
        return not self.qsize()

    def full(self) -> bool:
        """False: the broker's disk or memory is the limit, and `put` says when it is reached."""
        return False

    def unfinished(self) -> int:
        """How many are not settled, in all processes: waiting, delayed, or held by somebody."""
        return self._desk.run(self._desk.unfinished())

    def held(self) -> list[Any]:
        """The items that this process has got and not settled."""
        return [one.item for one in self._desk.custody.to_renew()]

    def attempt(self, item: Any) -> int:
        """Which time an item that is held here was given out: 1 for the first. ValueError else."""
        return self._desk.custody.look_up(item).lease.attempt

    def statistics(self) -> dict[str, int]:
        """What this object did in this process, and how many items it holds now.

        ``put got done returned dead expired lost held``; `lost` are leases that were over before
        their items were settled.
        """
        return {**self._desk.tally.counts(), "held": len(self._desk.custody)}

    # --- dead letters --------------------------------------------------------------------

    def dead(self, limit: int = 100) -> list[DeadItem]:
        """What was kept aside, newest first."""
        return [DeadItem.of(letter) for letter in self._look("dead", self._desk.queue, limit)]

    def replay(self, *dead: DeadItem | str) -> int:
        """Put dead items again, each with a fresh count of failures; gives how many there were."""
        return len(self._look("replay", _keys(dead)))

    def drop(self, *dead: DeadItem | str) -> int:
        """Forget dead items; gives how many there were."""
        count: int = self._look("drop", _keys(dead))
        return count

    def purge(self) -> int:
        """Drop all that waits, for good; gives how many. What somebody holds stays."""
        count: int = self._look("purge", self._desk.queue)
        return count


def _asking(method: str, arguments: tuple[Any, ...]) -> Work[Any]:
    return (yield Ask(method, arguments))


def _keys(dead: tuple[DeadItem | str, ...]) -> list[str]:
    return [one if isinstance(one, str) else one.key for one in dead]
