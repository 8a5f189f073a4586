"""Order: first in, first out; higher priority before; queues in turn; what comes back."""

from __future__ import annotations

from collections import Counter

from penstock.message import Again, Lease, Message, new_id
from penstock.testing.conformance.stage import BrokerStage, ids, needs

__all__ = ["OrderCases"]


class OrderCases(BrokerStage):
    """Who is leased before whom."""

    def _fill(self, **sizes: int) -> dict[str, str]:
        """Queues of the case by a short name, with so many messages in each."""
        names = {short: f"{self.queue}-{short}" for short in sizes}
        for short, size in sizes.items():
            self.one.publish(*self.messages(size, queue=names[short]))
        return names

    def _shares(self, leases: list[Lease]) -> dict[str, int]:
        return dict(Counter(lease.message.queue.rpartition("-")[2] for lease in leases))

    def test_first_in_first_out(self) -> None:
        for number in range(12):
            self.one.publish(self.message(f"{number}"))
        leased = [self.lease_one().message.id for _ in range(4)]
        leased += ids(self.two.lease(self.queue, limit=20))
        assert leased == [f"{number}" for number in range(12)]

    @needs("priorities")
    def test_higher_priority_first_then_older(self) -> None:
        wishes = [("a", 3), ("b", 9), ("c", 0), ("d", 9), ("e", 3), ("f", 6)]
        self.one.publish(*(self.message(name, priority=priority) for name, priority in wishes))
        upwards = [name for name, _ in sorted(wishes, key=lambda wish: wish[1])]
        downwards = [name for name, _ in sorted(wishes, key=lambda wish: -wish[1])]
        highest_first = self.one.broker.capabilities.highest_first
        assert self.one.finish(self.queue) == (downwards if highest_first else upwards)

    def test_queues_share_a_claim(self) -> None:
        names = self._fill(a=10, b=10)
        assert self._shares(self.one.lease(*names.values(), limit=6)) == {"a": 3, "b": 3}

    def test_what_one_queue_cannot_use_goes_to_the_others(self) -> None:
        names = self._fill(a=1, b=10, c=0, d=2)
        shares = self._shares(self.one.lease(*names.values(), limit=8))
        assert shares == {"a": 1, "b": 5, "d": 2}

    def test_an_odd_one_goes_to_the_first_queue(self) -> None:
        names = self._fill(a=10, b=10)
        assert self._shares(self.one.lease(*names.values(), limit=5)) == {"a": 3, "b": 2}
        assert self._shares(self.one.lease(names["b"], names["a"], limit=1)) == {"b": 1}

    def test_a_large_limit_takes_all_there_is(self) -> None:
        names = self._fill(a=4, b=7)
        assert self._shares(self.one.lease(*names.values(), limit=100)) == {"a": 4, "b": 7}

    def test_a_queue_named_twice_is_one_queue(self) -> None:
        self.one.publish(*self.messages(3))
        assert len(self.one.lease(self.queue, self.queue, limit=10)) == 3

    def test_each_queue_keeps_its_own_order_in_a_shared_claim(self) -> None:
        names = self._fill(a=5, b=5)
        leases = self.one.lease(*names.values(), limit=10)
        for name in names.values():
            mine = [lease.message for lease in leases if lease.message.queue == name]
            numbers = [int(message.id.removeprefix("task-")) for message in mine]
            assert numbers == sorted(numbers)

    def test_what_is_handed_back_goes_to_the_head(self) -> None:
        self.one.publish(self.message("a"), self.message("b"), self.message("c"))
        first, second = self.one.lease(self.queue, limit=2)
        assert self.one.settle(Again(second, second.message), Again(first, first.message)) == []
        assert self.two.finish(self.queue) == ["a", "b", "c"]

    def test_handing_back_may_change_what_the_message_says(self) -> None:
        self.one.publish(self.message("it"))
        lease = self.lease_one()
        headers = dict(lease.message.headers) | {"note": "alone"}
        self.one.settle(Again(lease, self.message("it", headers=headers, key=lease.message.key)))
        back = self.lease_one(self.two)
        assert back.message.headers["note"] == "alone"
        assert (back.message.key, back.attempt, back.deaths) == (lease.message.key, 2, 0)

    def test_a_retry_goes_to_the_tail_as_a_new_publication(self) -> None:
        self.one.publish(self.message("a"), self.message("b"))
        lease = self.lease_one()
        retry = self._retry_of(lease.message)
        assert self.one.settle(Again(lease, retry)) == []
        second, third = self.two.lease(self.queue, limit=5)
        assert ids([second, third]) == ["b", "a"]
        assert (third.message.key, third.attempt) == (retry.key, 1)

    def test_a_retry_may_go_to_another_queue(self) -> None:
        self.one.publish(self.message("a"))
        lease = self.lease_one()
        other = f"{self.queue}-other"
        self.one.settle(Again(lease, self._retry_of(lease.message, queue=other)))
        assert self.one.lease(self.queue) == []
        assert ids(self.one.lease(other)) == ["a"]

    def _retry_of(self, message: Message, **changes: str) -> Message:
        return self.message(message.id, key=new_id(), **changes)
