"""Endings other than done: dead letters, messages past their time, revoked ids."""

from __future__ import annotations

from penstock.message import Dead, DeadLetter, Done, Lease
from penstock.testing.conformance.stage import BrokerStage, ids, needs

__all__ = ["DeadLetterCases", "RevokingCases"]


class DeadLetterCases(BrokerStage):
    """What is kept aside until somebody replays or drops it."""

    def _bury(self, *names: str, reason: str = "bad arguments") -> list[DeadLetter]:
        self.one.publish(*(self.message(name) for name in names))
        for _ in names:
            assert self.one.settle(Dead(self.lease_one(), reason)) == []
        return self.two.broker.dead(self.queue)

    @needs("inspects")
    def test_a_dead_letter_says_why(self) -> None:
        (letter,) = self._bury("it", reason="größer als erlaubt")
        assert (letter.message.id, letter.reason) == ("it", "größer als erlaubt")
        assert letter.message.body == self.message().body
        assert letter.attempts == 1
        assert abs(letter.dead_at - self.clock.wall()) < 60

    @needs("inspects")
    def test_its_attempts_are_counted(self) -> None:
        self.one.publish(self.message())
        self.lease_one(ttl=self.tick)
        self.pass_time(2 * self.tick)
        self.one.settle(Dead(self.lease_one(), "twice is enough"))
        assert [letter.attempts for letter in self.one.broker.dead(self.queue)] == [2]

    @needs("inspects")
    def test_it_is_not_leased_any_more(self) -> None:
        self._bury("it")
        self.pass_time(3 * self.tick)
        self.one.broker.tend()
        assert self.two.lease(self.queue) == []
        assert self.two.broker.depth(self.queue) == 0

    @needs("inspects")
    def test_the_newest_comes_first_and_the_limit_holds(self) -> None:
        self._bury("a")
        self.pass_time(self.tick)
        self._bury("b")
        self.pass_time(self.tick)
        letters = self._bury("c")
        assert [letter.message.id for letter in letters] == ["c", "b", "a"]
        assert [x.message.id for x in self.one.broker.dead(self.queue, 2)] == ["c", "b"]

    @needs("inspects")
    def test_without_a_queue_all_are_listed(self) -> None:
        (letter,) = self._bury("it")
        keys = [one.message.key for one in self.one.broker.dead(None, 10_000)]
        assert letter.message.key in keys
        assert self.one.broker.dead(f"{self.queue}-other") == []

    @needs("inspects")
    def test_a_replay_is_a_new_publication(self) -> None:
        (letter,) = self._bury("it")
        (message,) = self.two.broker.replay([letter.message.key])
        assert (message.id, message.queue) == ("it", self.queue)
        assert message.key > letter.message.key, "a later publication has a later key"
        lease = self.lease_one()
        assert (lease.message.key, lease.attempt, lease.deaths) == (message.key, 1, 0)
        assert self.one.broker.dead(self.queue) == []

    @needs("inspects")
    def test_a_replayed_letter_can_be_done(self) -> None:
        (letter,) = self._bury("it")
        self.one.broker.replay([letter.message.key])
        assert self.two.settle(Done(self.lease_one(self.two))) == []
        assert self.one.lease(self.queue) == []

    @needs("inspects")
    def test_dropped_is_gone(self) -> None:
        first, second = self._bury("a", "b")
        assert self.two.broker.drop([first.message.key]) == 1
        assert self.one.broker.dead(self.queue) == [second]
        assert self.two.broker.replay([first.message.key]) == []

    @needs("inspects")
    def test_keys_that_are_no_dead_letters_are_passed_over(self) -> None:
        waiting = self.message("waiting")
        self.one.publish(waiting)
        assert self.one.broker.replay(["unknown", waiting.key]) == []
        assert self.one.broker.drop(["unknown", waiting.key]) == 0
        assert self.one.finish(self.queue) == ["waiting"]

    @needs("inspects", "repeatable")
    def test_publishing_the_key_of_a_dead_letter_does_not_revive_it(self) -> None:
        (letter,) = self._bury("it")
        self.two.publish(letter.message)
        assert self.one.lease(self.queue) == []


class RevokingCases(BrokerStage):
    """Messages that must not start are leased all the same: their holder records the end."""

    def _both(self) -> list[Lease]:
        return self.two.lease(self.queue, limit=5)

    def test_past_its_time_a_message_is_leased_and_says_so(self) -> None:
        self.one.publish(self.message("it", expires_at=self.clock.wall() + self.tick))
        self.pass_time(2 * self.tick)
        lease = self.lease_one(self.two)
        assert lease.message.expires_at is not None
        assert lease.message.expires_at < self.clock.wall() + self.tick
        assert self.two.settle(Done(lease)) == []

    @needs("revokes")
    def test_a_revoked_id_is_leased_with_the_mark(self) -> None:
        self.one.publish(self.message("stop"), self.message("go"))
        self.two.broker.revoke(["stop"], 600.0)
        leases = self._both()
        assert [(lease.message.id, lease.revoked) for lease in leases] == [
            ("stop", True),
            ("go", False),
        ]

    @needs("revokes")
    def test_an_id_may_be_revoked_before_it_is_published(self) -> None:
        self.two.broker.revoke(["stop"], 600.0)
        self.one.publish(self.message("stop"))
        assert self.lease_one().revoked

    @needs("revokes")
    def test_revoking_does_not_touch_a_lease(self) -> None:
        self.one.publish(self.message("running"))
        lease = self.lease_one()
        self.two.broker.revoke(["running"], 600.0)
        assert not lease.revoked
        assert self.one.settle(Done(lease)) == []

    @needs("revokes")
    def test_a_revocation_ends_with_its_lifetime(self) -> None:
        self.one.broker.revoke(["stop"], 2 * self.tick)
        self.one.publish(self.message("stop"))
        self.pass_time(3 * self.tick)
        assert not self.lease_one().revoked

    @needs("revokes")
    def test_revoking_again_renews_it(self) -> None:
        self.one.broker.revoke(["stop"], 2 * self.tick)
        self.one.broker.revoke(["stop"], 600.0)
        self.one.publish(self.message("stop"))
        self.pass_time(3 * self.tick)
        assert self.lease_one().revoked

    @needs("revokes")
    def test_revoking_nothing_is_no_error(self) -> None:
        self.one.broker.revoke([], 600.0)
        self.one.publish(self.message())
        assert ids(self._both()) == ["task-1"]
