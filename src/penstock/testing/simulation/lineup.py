"""What stands ready and was never touched: who must come first, and who must not be passed over.

Only publications whose place is beyond doubt are kept here: stored for certain, without a delay,
not leased yet, and with no claim since that may have taken them unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from penstock.testing.simulation.publication import Publication
from penstock.testing.simulation.violation import Violation

__all__ = ["Lineup"]


class Lineup:
    """Publications that wait untouched, by queue. ``rank`` says who goes first: higher."""

    def __init__(self, rank: Callable[[int], int]) -> None:
        self._rank = rank
        self._waiting: dict[str, dict[str, Publication]] = {}
        self._scattered: dict[str, int] = {}  # queue -> the last step at which that happened

    def join(self, publication: Publication) -> None:
        """It was stored for certain and may run at once: it waits, unless somebody may have it."""
        if self._scattered.get(publication.message.queue, 0) < (publication.first_step or 0):
            self._waiting.setdefault(publication.message.queue, {})[publication.key] = publication

    def leave(self, publication: Publication) -> None:
        """It was leased, or is not beyond doubt any more."""
        self._waiting.get(publication.message.queue, {}).pop(publication.key, None)

    def scatter(self, queues: Iterable[str], step: int) -> None:
        """Somebody may have leased from these queues unseen: nobody's place is certain now."""
        for queue in queues:
            self._waiting.pop(queue, None)
            self._scattered[queue] = max(step, self._scattered.get(queue, 0))

    def check_turn(self, leased: Publication, step: int) -> None:
        """Nobody who was there at ``step`` should have come before the one that was leased."""
        for other in self._waiting.get(leased.message.queue, {}).values():
            if _before(other, step) and self._precedes(other, leased):
                raise Violation(
                    "order",
                    f"{leased.name} (priority {leased.message.priority}) was leased before "
                    f"{other.name} (priority {other.message.priority}), which was there earlier",
                )

    def _precedes(self, other: Publication, leased: Publication) -> bool:
        ours, theirs = self._rank(leased.message.priority), self._rank(other.message.priority)
        if leased.attempt > 1 or theirs != ours:
            return theirs > ours
        return _stored_before(other, leased)

    def check_passed_over(self, queues: Sequence[str], step: int, what: str) -> None:
        """Nothing that was there at ``step`` may be left in these queues."""
        for queue in queues:
            for other in self._waiting.get(queue, {}).values():
                if _before(other, step):
                    raise Violation("passed over", f"{what} while {other.name} stood ready")

    def check_not_slept_through(self, queues: Sequence[str], since: int) -> None:
        """Nothing may have come since that step to queues somebody listened to without a ring."""
        for queue in queues:
            for other in self._waiting.get(queue, {}).values():
                if other.first_step is not None and other.first_step > since:
                    raise Violation("not woken", f"{other.name} came, and who waited heard nothing")

    def __repr__(self) -> str:
        return f"Lineup({sum(map(len, self._waiting.values()))})"


def _before(publication: Publication, step: int) -> bool:
    return publication.stored_step is not None and publication.stored_step < step


def _stored_before(one: Publication, two: Publication) -> bool:
    """True when ``one`` was stored first beyond doubt."""
    if one.stored_step is None or two.first_step is None:
        return False
    if one.stored_step == two.first_step:
        return one.first_step == two.stored_step and one.place < two.place
    return one.stored_step < two.first_step
