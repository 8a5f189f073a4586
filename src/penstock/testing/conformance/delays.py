"""Delays: never early, there when due, and known to upkeep."""

from __future__ import annotations

import pytest

from penstock.message import Again, Done, new_id
from penstock.testing.conformance.stage import BrokerStage, ids, needs

__all__ = ["DelayCases"]


class DelayCases(BrokerStage):
    """Messages with a time before which they must not run."""

    def _in(self, ticks: float) -> float:
        return self.clock.wall() + ticks * self.tick

    @needs("delays")
    def test_never_early(self) -> None:
        self.one.publish(self.message("later", ready_at=self._in(20)), self.message("now"))
        assert ids(self.one.lease(self.queue, limit=5)) == ["now"]
        self.pass_time(10 * self.tick)
        self.one.broker.tend()
        assert self.one.lease(self.queue) == []

    @needs("delays")
    def test_there_when_due(self) -> None:
        self.one.publish(self.message("later", ready_at=self._in(2)))
        self.pass_time(3 * self.tick)
        lease = self.lease_one(self.two)
        assert (lease.message.id, lease.attempt) == ("later", 1)

    @needs("delays")
    def test_waiting_for_longer_than_a_lease_is_no_lease(self) -> None:
        self.one.publish(self.message("first"))
        self.one.settle(Done(self.lease_one(ttl=3 * self.tick)))
        self.one.publish(self.message("later", ready_at=self._in(10)))
        for _ in range(3):
            self.pass_time(4 * self.tick)
            self.one.broker.tend()
        lease = self.lease_one(self.two)
        assert (lease.message.id, lease.attempt, lease.deaths) == ("later", 1, 0)

    @needs("delays")
    def test_each_at_its_own_time(self) -> None:
        self.one.publish(*(self.message(f"{t}", ready_at=self._in(t)) for t in (30, 10, 20)))
        for expected in ("10", "20", "30"):
            self.pass_time(11 * self.tick)
            assert ids(self.two.lease(self.queue, limit=5)) == [expected]

    @needs("delays")
    def test_a_time_that_has_passed_is_now(self) -> None:
        self.one.publish(self.message(ready_at=self._in(-5)))
        assert self.lease_one().attempt == 1

    @needs("delays")
    def test_a_delayed_message_outlives_its_client(self) -> None:
        self.one.publish(self.message("later", ready_at=self._in(2)))
        self.one.broker.close()
        self.pass_time(3 * self.tick)
        assert self.lease_one(self.two).message.id == "later"

    @needs("delays")
    def test_a_retry_with_a_delay(self) -> None:
        self.one.publish(self.message("it"))
        retry = self.message("it", key=new_id())
        self.one.settle(Again(self.lease_one(), retry, self._in(10)))
        assert self.two.lease(self.queue) == []
        self.pass_time(11 * self.tick)
        assert self.lease_one(self.two).message.key == retry.key

    @needs("delays")
    def test_handing_back_with_a_delay_keeps_the_place(self) -> None:
        self.one.publish(self.message("a"), self.message("b"))
        lease = self.lease_one()
        self.one.settle(Again(lease, lease.message, self._in(10)))
        assert ids(self.two.lease(self.queue)) == ["b"]
        self.one.publish(self.message("c"))
        self.pass_time(11 * self.tick)
        assert ids(self.two.lease(self.queue, limit=5)) == ["a", "c"]

    @needs("delays", "sees_delayed")
    def test_upkeep_says_when_the_next_is_due(self) -> None:
        self.one.publish(self.message(ready_at=self._in(40)))
        due = self.one.broker.tend()
        assert due is not None
        assert 0 < due <= 40 * self.tick
        self.one.publish(self.message(ready_at=self._in(20)))
        due = self.one.broker.tend()
        assert due is not None
        assert 0 < due <= 20 * self.tick

    def test_upkeep_says_when_the_next_lease_ends(self) -> None:
        self.one.publish(self.message())
        self.lease_one(ttl=30 * self.tick)
        due = self.one.broker.tend()
        assert due == pytest.approx(30 * self.tick, rel=0.5)
