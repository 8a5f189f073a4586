"""Dead letters: kept aside with a reason, seen, put again, dropped; and what cannot be read."""

from __future__ import annotations

import pytest

from penstock.message import Message, new_id
from penstock.testing.conformance.durable_stage import DurableStage
from penstock.testing.conformance.stage import needs

__all__ = ["DeadItemCases"]

_BAD = [b"", b"\xff", b"{", b"nonsense", b'{"__type__": "mine", "__value__": 1}', b"[" * 100_000]


class DeadItemCases(DurableStage):
    """dead, replay, drop."""

    @needs("inspects")
    @pytest.mark.parametrize("body", _BAD, ids=lambda body: repr(body[:20]))
    def test_what_cannot_be_read_is_kept_aside_and_the_next_is_given(self, body: bytes) -> None:
        broken = Message(id=new_id(), queue=self.broker_queue, headers={}, body=body)
        self.raw().publish([broken])
        self.one.put("good")
        assert self.two.get() == "good"
        (dead,) = self.one.queue.dead()
        assert (dead.item, dead.body, dead.attempts) == (None, body, 1)
        assert "cannot be read" in dead.reason

    @needs("inspects")
    def test_in_a_batch_the_good_ones_are_given(self) -> None:
        broker = self.raw()
        for body in (b"1", b"bad", b"2"):
            broker.publish([Message(id=new_id(), queue=self.broker_queue, headers={}, body=body)])
        assert self.two.get_many(3) == [1, 2]
        assert len(self.two.queue.dead()) == 1

    @needs("inspects")
    def test_a_replay_starts_afresh(self) -> None:
        user = self.user(max_attempts=2)
        user.put("item")
        for attempt in range(2):
            user.fail(RuntimeError(f"failure {attempt}"))
        (dead,) = user.queue.dead()
        assert user.queue.replay(dead) == 1
        assert user.queue.dead() == []
        user.fail(RuntimeError("once more"))
        item = user.get()
        assert (item, user.queue.attempt(item)) == ("item", 2)

    @needs("inspects")
    def test_dropped_is_gone(self) -> None:
        self.one.put(1, 2)
        self.one.bury(self.one.get(), "first")
        self.one.bury(self.one.get(), "second")
        second, first = self.two.queue.dead()
        assert (first.item, second.item) == (1, 2)
        assert self.two.queue.drop(first.key) == 1
        assert self.two.queue.drop(first) == 0
        assert self.two.queue.dead(limit=10) == [second]

    @needs("inspects")
    def test_the_dead_of_another_queue_are_not_shown(self) -> None:
        self.one.put(1)
        self.one.bury(self.one.get(), "mine")
        self.name += "-other"
        assert self.user().queue.dead() == []

    @needs("inspects")
    def test_purge_leaves_what_is_held(self) -> None:
        self.one.put_many([1, 2, 3])
        item = self.one.get()
        assert self.two.queue.purge() == 2
        assert self.two.has_nothing()
        self.one.put_back(item)
        assert self.two.finish() == [1]
