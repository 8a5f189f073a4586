"""Leases: renewed while their holder lives, somebody else's when it does not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from penstock.errors import Empty, LeaseLost
from penstock.testing.conformance.durable_stage import DurableStage, Signals
from penstock.testing.conformance.stage import needs

__all__ = ["DeathCases", "LateCases", "RenewalCases"]

_SHORT = 0.3  # seconds, in cases that really wait


class LateCases(DurableStage):
    """What a holder is told that comes too late."""

    def test_when_the_lease_ends_another_gets_it(self) -> None:
        frozen = self.frozen_user()
        frozen.put("item")
        frozen.get()
        self.let_the_lease_end()
        item = self.two.get()
        assert (item, self.two.queue.attempt(item)) == ("item", 2)

    @needs("fenced")
    def test_settling_late_writes_nothing(self) -> None:
        frozen = self.frozen_user()
        frozen.put("item")
        late = frozen.get()
        self.let_the_lease_end()
        item = self.two.get()
        with pytest.raises(LeaseLost, match="1 of 1"):
            frozen.done(late)
        assert frozen.queue.statistics()["lost"] == 1
        self.two.put_back(item)
        assert self.two.finish() == ["item"]

    @needs("fenced")
    def test_of_many_only_the_lost_ones_are_refused(self) -> None:
        frozen = self.frozen_user()
        frozen.put("lost")
        lost = frozen.get()
        self.let_the_lease_end()
        self.two.get()
        frozen.put("kept")
        kept = frozen.get()
        with pytest.raises(LeaseLost, match="1 of 2"):
            frozen.done(lost, kept)
        assert frozen.queue.held() == []
        self.let_the_lease_end()
        assert "kept" not in self.user().finish()

    @needs("fenced")
    def test_returning_late_and_keeping_aside_late_write_nothing(self) -> None:
        for end in ("put_back", "bury"):
            frozen = self.frozen_user()
            frozen.put(end)
            item = frozen.get()
            self.let_the_lease_end()
            assert self.two.get() == end
            with pytest.raises(LeaseLost):
                getattr(frozen, end)(item, **({"reason": "late"} if end == "bury" else {}))
            self.two.done(end)
        assert self.two.queue.dead() == []

    @needs("fenced")
    def test_a_block_that_ends_late_says_so(self) -> None:
        frozen = self.frozen_user()
        frozen.put("item")
        with pytest.raises(LeaseLost):
            frozen.work(self._lose)
        assert self.two.finish() == []
        assert self.two.queue.held() == ["item"]

    @needs("fenced")
    def test_a_block_that_fails_late_raises_its_own_error(self) -> None:
        frozen = self.frozen_user()
        frozen.put("item")

        def work(item: Any) -> None:
            self._lose(item)
            raise RuntimeError("mine")

        with pytest.raises(RuntimeError, match="mine") as caught:
            frozen.work(work)
        assert "lease" in caught.value.__notes__[0]
        assert self.two.queue.held() == ["item"]

    def _lose(self, item: Any) -> None:
        self.let_the_lease_end()
        assert self.two.queue.get(block=False) == item


class RenewalCases(DurableStage):
    """The thread that renews, in real time."""

    def test_a_lease_is_renewed_for_as_long_as_its_holder_lives(self) -> None:
        holder, other = (self.user_in_real_time(lease=_SHORT) for _ in range(2))
        holder.put("item")
        with Signals("durable.renewed") as signals:
            item = holder.get()
            signals.wait("durable.renewed", times=7)  # more than twice as long as the lease
        with pytest.raises(Empty):
            other.get()
        holder.done(item)
        assert holder.queue.statistics()["lost"] == 0

    @needs("fenced")
    def test_it_notices_what_is_lost(self) -> None:
        holder = self.frozen_user()
        holder.put("item")
        item = holder.get()
        self.let_the_lease_end()
        assert self.two.get() == "item"
        holder.queue._desk.keeper.renew()  # noqa: SLF001 - what its thread does by and by
        assert holder.queue.statistics()["lost"] == 1
        assert holder.queue.held() == []
        with pytest.raises(LeaseLost):
            holder.done(item)
        assert holder.queue.statistics()["lost"] == 1

    def test_who_leaves_a_loop_returns_the_item_at_hand(self) -> None:
        holder, other = (self.user_in_real_time(lease=_SHORT) for _ in range(2))
        holder.put_many([1, 2])
        for item in holder.queue:
            if item == 2:
                break
        assert other.get(timeout=30) == 2
        deadline = time.monotonic() + 30  # others may see it before its holder hears of that
        while holder.queue.held() and time.monotonic() < deadline:
            time.sleep(0.001)
        assert holder.queue.held() == []


class DeathCases(DurableStage):
    """Holders that die over an item."""

    @needs("inspects")
    def test_what_kills_its_holders_is_kept_aside(self) -> None:
        self.one.put("poison", "good")
        for _ in range(2):
            frozen = self.frozen_user()
            assert frozen.get() == "poison"
            self.let_the_lease_end()
        careful = self.user(max_deaths=2)
        assert careful.finish() == ["good"]
        (dead,) = careful.queue.dead()
        assert dead.item == "poison"
        assert "2 processes died" in dead.reason

    def test_deaths_are_no_failures(self) -> None:
        self.one.put("item")
        for _ in range(3):
            self.frozen_user().get()
            self.let_the_lease_end()
        careful = self.user(max_attempts=2)
        careful.fail(RuntimeError("first"))
        assert careful.finish() == ["item"]
