"""Settling items: done, returned, or kept aside; and how a failure is told from a stop."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock import telemetry
from penstock.clock import Clock
from penstock.durable.custody import Custody, Held
from penstock.durable.past import Past
from penstock.durable.rules import Rules
from penstock.durable.steps import Ask, Work
from penstock.durable.tally import Tally
from penstock.errors import LeaseLost
from penstock.message import Again, Dead, Done, Settlement

__all__ = ["Ending"]

_LONGEST_REASON = 1_000  # characters


class _End(msgspec.Struct, frozen=True):
    held: Held
    settlement: Settlement
    count: str  # what the tally calls it


class Ending:
    """Makes the work of `task_done` and of all other ends; see :mod:`penstock.durable.steps`."""

    def __init__(
        self, *, name: str, rules: Rules, custody: Custody, tally: Tally, clock: Clock
    ) -> None:
        self._name = name
        self._rules = rules
        self._custody = custody
        self._tally = tally
        self._clock = clock

    def done(self, held: Sequence[Held]) -> Work[None]:
        """They are dealt with. Raises LeaseLost where some are somebody else's by now."""
        yield from self._end([_End(one, Done(one.lease), "done") for one in held])

    def returned(self, held: Sequence[Held], countdown: float = 0.0) -> Work[None]:
        """They go back to their places, without blame, after ``countdown`` seconds."""
        at = self._clock.wall() + countdown if countdown > 0 else 0.0
        yield from self._end([
            _End(one, Again(one.lease, one.lease.message, at), "returned") for one in held
        ])  # fmt: skip

    def buried(self, held: Sequence[Held], reason: str) -> Work[None]:
        """They are kept aside for this reason."""
        yield from self._end([self._dead(one, reason) for one in held])

    def failed(self, one: Held, reason: str) -> Work[None]:
        """It goes back and the failure is counted; the last that is allowed keeps it aside."""
        past = Past.of(one.lease.message).with_one_more()
        if past.failures >= self._rules.max_attempts:
            reason = f"{reason[:_LONGEST_REASON]} (failure {past.failures})"
            yield from self._end([self._dead(one, reason)])
        else:
            delay = self._rules.retry_delay
            at = self._clock.wall() + delay if delay > 0 else 0.0
            again = Again(one.lease, past.on(one.lease.message), at)
            yield from self._end([_End(one, again, "returned")])

    def _dead(self, one: Held, reason: str) -> _End:
        telemetry.emit("durable.kept_aside", key=one.lease.message.key, reason=reason)
        return _End(one, Dead(one.lease, reason), "dead")

    def _end(self, ends: Sequence[_End]) -> Work[None]:
        """Settle what was seized; where that cannot be done now, all of it stays held."""
        held = [end.held for end in ends]
        try:
            refused = yield Ask("settle", ([end.settlement for end in ends],))
        except BaseException:
            self._custody.keep(held)
            raise
        self._custody.let_go(held)
        lost = {settlement.lease.message.key for settlement in refused}
        for end in ends:
            gone = end.held.lease.message.key in lost
            if not (gone and end.held.lost):  # else it was counted when it could not be renewed
                self._tally.add("lost" if gone else end.count)
        if lost:
            raise self._lost(len(lost), len(ends))

    def _lost(self, lost: int, asked: int) -> LeaseLost:
        return LeaseLost(
            f"{self._name}: the lease on {lost} of {asked} items was over before they were "
            "settled; they belong to somebody else now, and nothing was written of them. Work "
            "that keeps the interpreter busy for long needs a longer lease: open_queue(lease=...)"
        )

    def __repr__(self) -> str:
        return f"<endings of {self._name}>"
