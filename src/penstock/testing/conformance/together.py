"""A broker and its own result store: a settlement and its record are one step."""

from __future__ import annotations

import pytest

from penstock.clock import Clock
from penstock.message import Again, Dead, Done, Lease, Record, new_id
from penstock.results.base import ResultStore
from penstock.testing.conformance.stage import BrokerStage

__all__ = ["TogetherCases"]


class TogetherCases(BrokerStage):
    """Skipped unless :meth:`make_store` gives a store into which the broker puts records."""

    def make_store(self, clock: Clock) -> ResultStore | None:
        """The result store beside this broker, None where there is none."""
        return None

    @pytest.fixture
    def store(self) -> ResultStore:
        """The store of this case."""
        store = self.make_store(self.clock)
        if store is None or not self.one.broker.keeps_records_of(store):
            pytest.skip(f"{type(self.one.broker).__name__} has no result store of its own")
        return store

    def _record(self, lease: Lease, state: str = "SUCCESS", *, final: bool = True) -> Record:
        key, attempt = lease.message.key, lease.attempt
        return Record(lease.message.id, state, b"{}", key=key, attempt=attempt, final=final)

    def _stored_state(self, store: ResultStore, id: str) -> str | None:
        (record,) = store.get([id])
        return record.state if record else None

    def test_a_settlement_stores_its_record(self, store: ResultStore) -> None:
        task_id = new_id()
        self.one.publish(self.message(task_id))
        lease = self.lease_one()
        record = self._record(lease)
        assert self.one.settle(Done(lease, record)) == []
        assert store.get([task_id]) == [record]

    def test_every_kind_of_settlement_does(self, store: ResultStore) -> None:
        names = [new_id() for _ in range(3)]
        self.one.publish(*(self.message(name) for name in names))
        done, again, dead = self.one.lease(self.queue, limit=3)
        retry = self.message(again.message.id, key=new_id())
        self.one.settle(
            Done(done, self._record(done)),
            Again(again, retry, 0.0, self._record(again, "RETRY", final=False)),
            Dead(dead, "no", self._record(dead, "FAILURE")),
        )
        assert [self._stored_state(store, name) for name in names] == [
            "SUCCESS",
            "RETRY",
            "FAILURE",
        ]

    def test_a_lost_lease_stores_nothing(self, store: ResultStore) -> None:
        task_id = new_id()
        self.one.publish(self.message(task_id))
        stale = self.lease_one(ttl=self.tick)
        self.pass_time(2 * self.tick)
        current = self.lease_one(self.two)
        for settlement in (
            Done(stale, self._record(stale)),
            Again(stale, stale.message, 0.0, self._record(stale, "RETRY", final=False)),
            Dead(stale, "too late", self._record(stale, "FAILURE")),
        ):
            assert list(self.one.settle(settlement)) == [settlement]
            assert store.get([task_id]) == [None]
        assert self.two.settle(Done(current, self._record(current))) == []
        assert self._stored_state(store, task_id) == "SUCCESS"

    def test_settling_again_changes_no_record(self, store: ResultStore) -> None:
        task_id = new_id()
        self.one.publish(self.message(task_id))
        lease = self.lease_one()
        settlement = Done(lease, self._record(lease))
        self.one.settle(settlement)
        self.one.settle(settlement)
        assert store.get([task_id]) == [settlement.record]

    def test_settling_again_does_not_overwrite_what_came_after(self, store: ResultStore) -> None:
        task_id = new_id()
        self.one.publish(self.message(task_id))
        lease = self.lease_one()
        retry = self.message(task_id, key=new_id())
        settlement = Again(lease, retry, 0.0, self._record(lease, "RETRY", final=False))
        self.one.settle(settlement)
        store.put([self._record(self.lease_one(self.two), "STARTED", final=False)])
        assert self.one.settle(settlement) == []
        assert self._stored_state(store, task_id) == "STARTED"

    def test_a_replay_reopens_the_result(self, store: ResultStore) -> None:
        task_id = new_id()
        self.one.publish(self.message(task_id))
        lease = self.lease_one()
        self.one.settle(Dead(lease, "no", self._record(lease, "FAILURE")))
        self.two.broker.replay([lease.message.key])
        again = self.lease_one(self.two)
        self.two.settle(Done(again, self._record(again)))
        assert self._stored_state(store, task_id) == "SUCCESS"

    def test_a_store_elsewhere_is_not_this_brokers(self) -> None:
        assert not self.one.broker.keeps_records_of(object())
