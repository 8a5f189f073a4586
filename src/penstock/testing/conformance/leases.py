"""Leases: one holder at a time, a fence for each, and what happens when one ends unsettled."""

from __future__ import annotations

from penstock.message import Again, Dead, Done, new_id
from penstock.testing.conformance.stage import LONG, BrokerStage, ids, needs

__all__ = ["FenceCases", "LeaseCases"]


class LeaseCases(BrokerStage):
    """The timed right to work on a message."""

    def test_a_leased_message_is_nobody_elses(self) -> None:
        self.one.publish(self.message())
        self.lease_one()
        assert self.one.lease(self.queue) == []
        assert self.two.lease(self.queue) == []

    def test_no_more_than_the_limit(self) -> None:
        self.one.publish(*self.messages(5))
        assert len(self.one.lease(self.queue, limit=3)) == 3
        assert len(self.one.lease(self.queue, limit=3)) == 2

    def test_the_first_lease_is_the_first_attempt(self) -> None:
        self.one.publish(self.message())
        lease = self.lease_one()
        assert (lease.attempt, lease.deaths, lease.revoked) == (1, 0, False)

    def test_settled_is_settled(self) -> None:
        self.one.publish(self.message())
        assert self.one.settle(Done(self.lease_one(ttl=self.tick))) == []
        self.pass_time(3 * self.tick)
        self.one.broker.tend()
        assert self.two.lease(self.queue) == []

    def test_settling_twice_by_one_fence_is_not_lost(self) -> None:
        self.one.publish(self.message())
        settlement = Done(self.lease_one())
        assert self.one.settle(settlement) == []
        assert self.one.settle(settlement) == []
        assert self.two.lease(self.queue) == []

    def test_a_retry_settled_twice_is_published_once(self) -> None:
        self.one.publish(self.message("it"))
        settlement = Again(self.lease_one(), self.message("it", key=new_id()))
        assert self.one.settle(settlement) == []
        assert self.one.settle(settlement) == []
        assert self.two.finish(self.queue) == ["it"]

    def test_a_lease_that_ran_out_comes_back_to_the_head(self) -> None:
        self.one.publish(self.message("a"), self.message("b"))
        lost = self.lease_one(ttl=2 * self.tick)
        assert lost.message.id == "a"
        self.pass_time(3 * self.tick)
        again = self.lease_one(self.two)
        assert (again.message.id, again.attempt, again.deaths) == ("a", 2, 1)

    def test_a_lease_holds_to_its_end(self) -> None:
        self.one.publish(self.message())
        self.lease_one(ttl=20 * self.tick)
        self.pass_time(10 * self.tick)
        self.two.broker.tend()
        assert self.two.lease(self.queue) == []

    def test_deaths_are_counted_and_attempts_go_on(self) -> None:
        self.one.publish(self.message())
        seen = []
        for _ in range(4):
            lease = self.lease_one(ttl=self.tick)
            seen.append((lease.attempt, lease.deaths))
            self.pass_time(2 * self.tick)
        assert seen == [(1, 0), (2, 1), (3, 2), (4, 3)]

    def test_handing_back_counts_an_attempt_and_no_death(self) -> None:
        self.one.publish(self.message())
        lease = self.lease_one()
        self.one.settle(Again(lease, lease.message))
        again = self.lease_one(self.two)
        assert (again.attempt, again.deaths) == (2, 0)

    def test_a_broker_never_drops_what_keeps_dying(self) -> None:
        self.one.publish(self.message("poison"))
        for _ in range(12):
            self.lease_one(ttl=self.tick)
            self.pass_time(2 * self.tick)
        assert self.lease_one().deaths == 12

    def test_extending_keeps_it(self) -> None:
        self.one.publish(self.message())
        lease = self.lease_one(ttl=5 * self.tick)
        for _ in range(3):
            self.pass_time(2 * self.tick)
            (lease,) = self.one.extend(lease, ttl=5 * self.tick)
        self.two.broker.tend()
        assert self.two.lease(self.queue) == []
        assert self.one.settle(Done(lease)) == []

    def test_an_extended_lease_says_when_it_ends(self) -> None:
        self.one.publish(self.message())
        lease = self.lease_one(ttl=5 * self.tick)
        (renewed,) = self.one.extend(lease, ttl=50 * self.tick)
        assert renewed.until > lease.until
        assert (renewed.message.key, renewed.fence) == (lease.message.key, lease.fence)

    def test_the_lease_as_it_was_before_extending_still_settles(self) -> None:
        self.one.publish(self.message())
        lease = self.lease_one()
        self.one.extend(lease)
        assert self.one.settle(Done(lease)) == []

    def test_extending_tells_which_leases_are_lost(self) -> None:
        self.one.publish(self.message("a"), self.message("b"))
        lost = self.lease_one(ttl=2 * self.tick)
        kept = self.lease_one(ttl=LONG)
        self.pass_time(3 * self.tick)
        self.lease_one(self.two)
        assert ids(self.one.extend(lost, kept)) == ["b"]

    def test_extending_what_is_settled_gives_nothing(self) -> None:
        self.one.publish(self.message())
        lease = self.lease_one()
        self.one.settle(Done(lease))
        assert self.one.extend(lease) == []

    def test_settle_and_lease_does_both(self) -> None:
        self.one.publish(*self.messages(3))
        first = self.lease_one()
        broker = self.one.broker
        lost, leases = broker.settle_and_lease([Done(first)], [self.queue], 1, LONG)
        assert (lost, ids(leases)) == ([], ["task-2"])
        lost, leases = broker.settle_and_lease([], [self.queue], 5, LONG)
        assert (lost, ids(leases)) == ([], ["task-3"])
        lost, leases = broker.settle_and_lease([Done(leases[0])], [self.queue], 0, LONG)
        assert (lost, leases) == ([], [])

    def test_what_is_handed_back_may_be_leased_in_the_same_round_trip(self) -> None:
        self.one.publish(self.message())
        lease = self.lease_one()
        back = Again(lease, lease.message)
        lost, leases = self.one.broker.settle_and_lease([back], [self.queue], 1, LONG)
        assert lost == []
        assert [(lease.attempt, lease.deaths) for lease in leases] == [(2, 0)]


class FenceCases(BrokerStage):
    """A holder whose lease was taken over writes nothing."""

    @needs("fenced")
    def test_each_lease_has_a_higher_fence(self) -> None:
        self.one.publish(self.message())
        fences = []
        for _ in range(4):
            fences.append(self.lease_one(ttl=self.tick).fence)
            self.pass_time(2 * self.tick)
        assert fences == sorted(set(fences))

    @needs("fenced")
    def test_a_stale_holder_settles_nothing(self) -> None:
        self.one.publish(self.message("it"))
        stale = self.lease_one(ttl=self.tick)
        self.pass_time(2 * self.tick)
        current = self.lease_one(self.two)
        for settlement in (
            Done(stale),
            Again(stale, stale.message),
            Again(stale, self.message("it", key=new_id())),
            Dead(stale, "too late"),
        ):
            assert list(self.one.settle(settlement)) == [settlement]
        assert self.one.lease(self.queue) == []
        assert self.two.settle(Done(current)) == []
        assert self.one.lease(self.queue) == []

    @needs("fenced")
    def test_a_stale_holder_after_the_end_is_told(self) -> None:
        self.one.publish(self.message())
        stale = self.lease_one(ttl=self.tick)
        self.pass_time(2 * self.tick)
        assert self.two.settle(Done(self.lease_one(self.two))) == []
        assert list(self.one.settle(Done(stale))) == [Done(stale)]
        assert self.one.extend(stale) == []

    @needs("fenced")
    def test_what_was_returned_is_not_settled_by_its_last_holder(self) -> None:
        self.one.publish(self.message())
        stale = self.lease_one(ttl=self.tick)
        self.pass_time(2 * self.tick)
        self.two.broker.tend()
        assert list(self.one.settle(Done(stale))) == [Done(stale)]
        assert self.lease_one(self.two).deaths == 1

    @needs("fenced")
    def test_after_handing_back_the_lease_is_no_more(self) -> None:
        self.one.publish(self.message())
        lease = self.lease_one()
        assert self.one.settle(Again(lease, lease.message)) == []
        assert list(self.one.settle(Done(lease))) == [Done(lease)]
        assert self.one.extend(lease) == []
        assert self.lease_one().attempt == 2

    @needs("fenced")
    def test_a_stale_holder_hands_nothing_back_either(self) -> None:
        self.one.publish(self.message())
        stale = self.lease_one(ttl=self.tick)
        self.pass_time(2 * self.tick)
        current = self.lease_one(self.two)
        assert self.two.settle(Again(current, current.message)) == []
        late = Again(stale, stale.message)
        assert list(self.one.settle(late)) == [late]
        assert self.lease_one().attempt == 3

    @needs("fenced")
    def test_in_a_batch_only_the_lost_ones_are_refused(self) -> None:
        self.one.publish(self.message("a"), self.message("b"), self.message("c"))
        stale = self.lease_one(ttl=self.tick)
        good = self.one.lease(self.queue, limit=2)
        self.pass_time(2 * self.tick)
        taken = self.lease_one(self.two)
        settlements = [Done(good[0]), Done(stale), Done(good[1])]
        assert list(self.one.settle(*settlements)) == [Done(stale)]
        assert self.two.settle(Done(taken)) == []
        assert self.one.lease(self.queue) == []
