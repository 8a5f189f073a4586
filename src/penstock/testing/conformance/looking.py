"""Looking at queues: exact, and nothing is moved by it."""

from __future__ import annotations

from penstock.brokers.base import QueueState
from penstock.message import Dead, Done
from penstock.testing.conformance.stage import BrokerStage, ids, needs

__all__ = ["LookingCases"]


class LookingCases(BrokerStage):
    """queues, depth, peek, purge, remove."""

    def _state(self, queue: str | None = None) -> QueueState:
        wanted = queue or self.queue
        found = [state for state in self.two.broker.queues() if state.name == wanted]
        return found[0] if found else QueueState(wanted)

    def _delayed(self, id: str) -> None:
        self.one.publish(self.message(id, ready_at=self.clock.wall() + 600))

    @needs("inspects", "exact_depth")
    def test_depth_counts_what_is_not_leased(self) -> None:
        assert self.two.broker.depth(self.queue) == 0
        self.one.publish(*self.messages(5))
        assert self.two.broker.depth(self.queue) == 5
        lease = self.lease_one()
        assert self.two.broker.depth(self.queue) == 4
        self.one.settle(Done(lease))
        assert self.two.broker.depth(self.queue) == 4

    @needs("inspects", "exact_depth", "delays")
    def test_depth_counts_what_is_delayed(self) -> None:
        self.one.publish(self.message())
        self._delayed("later")
        assert self.two.broker.depth(self.queue) == 2

    @needs("inspects", "exact_depth", "delays")
    def test_a_queue_says_how_many_stand_where(self) -> None:
        self.one.publish(*self.messages(5))
        self._delayed("later")
        self.one.settle(Dead(self.lease_one(), "no"))
        self.lease_one()
        state = self._state()
        assert (state.ready, state.delayed, state.leased, state.dead) == (3, 1, 1, 1)

    @needs("inspects")
    def test_queues_are_listed_by_name(self) -> None:
        names = [f"{self.queue}-{letter}" for letter in "cab"]
        self.one.publish(*(self.message(queue=name) for name in names))
        found = [state.name for state in self.two.broker.queues() if state.name in names]
        assert found == sorted(names)

    @needs("inspects", "peeks")
    def test_the_age_of_the_oldest(self) -> None:
        self.one.publish(self.message())
        self.pass_time(10 * self.tick)
        self.one.publish(self.message())
        oldest = self._state().oldest
        assert oldest is not None
        assert 9 * self.tick < oldest < 10 * self.tick + 60

    @needs("inspects", "delays")
    def test_what_is_delayed_has_no_age_yet(self) -> None:
        self._delayed("later")
        assert self._state().oldest is None

    @needs("inspects", "peeks")
    def test_peek_shows_what_would_be_leased_next(self) -> None:
        self.one.publish(*self.messages(6))
        shown = [message.id for message in self.two.broker.peek(self.queue, 4)]
        assert shown == ids(self.one.lease(self.queue, limit=4))

    @needs("inspects", "priorities", "peeks")
    def test_peek_knows_priorities(self) -> None:
        self.one.publish(*(self.message(f"{p}", priority=p) for p in (0, 9, 5, 9, 0)))
        shown = [message.key for message in self.two.broker.peek(self.queue)]
        assert shown == [lease.message.key for lease in self.one.lease(self.queue, limit=9)]

    @needs("inspects", "delays", "peeks")
    def test_peek_shows_what_is_delayed_after_what_is_ready(self) -> None:
        self._delayed("later")
        self.one.publish(self.message("now"))
        shown = [message.id for message in self.two.broker.peek(self.queue)]
        assert shown == ["now", "later"]

    @needs("inspects", "peeks")
    def test_peek_moves_nothing(self) -> None:
        message = self.message("it", body=b"bytes")
        self.one.publish(message)
        for _ in range(3):
            (shown,) = self.two.broker.peek(self.queue)
            assert (shown.id, shown.key, shown.body) == ("it", message.key, b"bytes")
        assert self.lease_one().attempt == 1

    @needs("inspects", "peeks")
    def test_peek_at_nothing(self) -> None:
        assert self.one.broker.peek(self.queue) == []

    @needs("inspects", "delays", "sees_delayed")
    def test_purge_leaves_what_is_leased(self) -> None:
        self.one.publish(*self.messages(4))
        self._delayed("later")
        lease = self.lease_one()
        other = f"{self.queue}-other"
        self.one.publish(self.message("other", queue=other))
        assert self.two.broker.purge(self.queue) == 4
        assert self.two.broker.purge(self.queue) == 0
        assert self.one.lease(self.queue) == []
        assert self.one.settle(Done(lease)) == []
        assert ids(self.one.lease(other)) == ["other"]

    @needs("inspects")
    def test_a_purged_queue_takes_new_messages(self) -> None:
        self.one.publish(*self.messages(3))
        self.two.broker.purge(self.queue)
        self.one.publish(self.message("new"))
        assert self.two.finish(self.queue) == ["new"]

    @needs("inspects", "delays", "peeks")
    def test_remove_takes_out_by_id_what_is_not_leased(self) -> None:
        self.one.publish(self.message("leased"), self.message("a"), self.message("b"))
        self._delayed("later")
        lease = self.lease_one()
        assert self.two.broker.remove(["leased", "a", "later", "unknown"]) == 2
        assert self.one.settle(Done(lease)) == []
        assert self.two.finish(self.queue) == ["b"]

    @needs("inspects", "peeks")
    def test_remove_takes_every_publication_of_an_id(self) -> None:
        self.one.publish(self.message("twice"), self.message("once"), self.message("twice"))
        assert self.two.broker.remove(["twice"]) == 2
        assert self.one.finish(self.queue) == ["once"]
