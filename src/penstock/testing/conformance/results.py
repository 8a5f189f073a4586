"""The contract of result stores."""

from __future__ import annotations

import threading

from penstock.message import Record, new_id
from penstock.testing.conformance.results_waiting import WaitingForResultsCases
from penstock.testing.conformance.store_stage import StoreStage

__all__ = ["ResultStoreContract"]


class KeepingCases(StoreStage):
    """put, get, forget, and how long."""

    def test_nothing_is_known_of_an_unknown_id(self) -> None:
        assert self.one.get(new_id()) == [None]

    def test_what_was_put_can_be_got(self) -> None:
        record = self.record(new_id(), document=b"\x00\xff", key=new_id(), attempt=3, ttl=600.0)
        assert self.one.put(record) == []
        (found,) = self.two.get(record.id)
        assert found is not None
        assert (found.id, found.state, found.document) == (record.id, "SUCCESS", b"\x00\xff")
        assert (found.key, found.attempt, found.final) == (record.key, 3, True)

    def test_records_come_in_the_order_of_the_ids(self) -> None:
        a, b, c = (self.record(new_id(), document=letter) for letter in (b"a", b"b", b"c"))
        self.one.put(a, b, c)
        found = self.two.get(c.id, new_id(), a.id, a.id)
        assert [record and record.document for record in found] == [b"c", None, b"a", b"a"]

    def test_a_large_document(self) -> None:
        record = self.record(new_id(), document=bytes(range(256)) * 4096)
        self.one.put(record)
        (found,) = self.two.get(record.id)
        assert found is not None
        assert found.document == record.document

    def test_a_later_state_replaces_an_earlier_one(self) -> None:
        task_id, key = new_id(), new_id()
        for state in ("RECEIVED", "STARTED", "PROGRESS", "PROGRESS", "SUCCESS"):
            assert self.one.put(self.record(task_id, state, key=key, attempt=1)) == []
            (found,) = self.two.get(task_id)
            assert found is not None
            assert found.state == state

    def test_states_of_one_batch_are_put_in_order(self) -> None:
        task_id, key = new_id(), new_id()
        states = ("STARTED", "SUCCESS")
        self.one.put(*(self.record(task_id, state, key=key, attempt=1) for state in states))
        (found,) = self.one.get(task_id)
        assert found is not None
        assert found.state == "SUCCESS"

    def test_it_outlives_its_client(self) -> None:
        record = self.record(new_id())
        self.one.put(record)
        self.one.store.close()
        self.two.store.close()
        assert self.client().get(record.id) != [None]

    def test_forgotten_is_gone(self) -> None:
        a, b = self.record(new_id()), self.record(new_id())
        self.one.put(a, b)
        self.two.forget(a.id, new_id())
        assert [record is None for record in self.one.get(a.id, b.id)] == [True, False]

    def test_a_forgotten_result_may_be_put_anew(self) -> None:
        record = self.record(new_id(), key=new_id())
        self.one.put(record)
        self.one.forget(record.id)
        assert self.one.put(self.record(record.id, "STARTED", key=record.key)) == []

    def test_after_its_lifetime_it_is_gone(self) -> None:
        short = self.record(new_id(), ttl=2 * self.tick)
        longer = self.record(new_id(), ttl=600.0)
        always = self.record(new_id(), ttl=None)
        self.one.put(short, longer, always)
        assert None not in self.two.get(short.id, longer.id, always.id)
        self.pass_time(3 * self.tick)
        found = self.two.get(short.id, longer.id, always.id)
        assert [record is None for record in found] == [True, False, False]

    def test_each_state_begins_a_new_lifetime(self) -> None:
        task_id, key = new_id(), new_id()
        self.one.put(self.record(task_id, "STARTED", key=key, ttl=2 * self.tick))
        self.one.put(self.record(task_id, "SUCCESS", key=key, ttl=600.0))
        self.pass_time(3 * self.tick)
        assert self.two.get(task_id) != [None]

    def test_what_has_expired_refuses_nothing(self) -> None:
        task_id, key = new_id(), new_id()
        self.one.put(self.record(task_id, key=key, ttl=self.tick))
        self.pass_time(2 * self.tick)
        assert self.one.put(self.record(task_id, "STARTED", key=key)) == []

    def test_empty_calls_are_no_error(self) -> None:
        assert self.one.put() == []
        assert self.one.get() == []
        assert self.one.wait(timeout=0.0) == []
        self.one.forget()


class RefusingCases(StoreStage):
    """A record that comes too late is given back and changes nothing."""

    def _puts(self, *records: Record) -> list[Record]:
        """Put one after the other; gives those refused."""
        return [refused for record in records for refused in self.one.put(record)]

    def _kept(self, id: str) -> Record:
        (found,) = self.two.get(id)
        assert found is not None
        return found

    def test_nothing_follows_the_final_record_of_its_publication(self) -> None:
        task_id, key = new_id(), new_id()
        final = self.record(task_id, "SUCCESS", key=key, attempt=1)
        late = [
            self.record(task_id, "STARTED", key=key, attempt=1),
            self.record(task_id, "STARTED", key=key, attempt=2),
            self.record(task_id, "FAILURE", key=key, attempt=2),
        ]
        assert self._puts(final, *late) == late
        assert self._kept(task_id).state == "SUCCESS"

    def test_a_lower_attempt_is_refused(self) -> None:
        task_id, key = new_id(), new_id()
        current = self.record(task_id, "STARTED", key=key, attempt=2)
        late = self.record(task_id, "SUCCESS", key=key, attempt=1)
        assert self._puts(current, late) == [late]
        assert self._kept(task_id).attempt == 2

    def test_a_higher_attempt_replaces_a_lower_one(self) -> None:
        task_id, key = new_id(), new_id()
        first = self.record(task_id, "STARTED", key=key, attempt=1)
        second = self.record(task_id, "STARTED", key=key, attempt=2)
        assert self._puts(first, second) == []
        assert self._kept(task_id).attempt == 2

    def test_an_older_publication_does_not_follow_a_final_record(self) -> None:
        task_id = new_id()
        older, newer = self.keys(2)
        final = self.record(task_id, "SUCCESS", key=newer, attempt=1)
        late = self.record(task_id, "FAILURE", key=older, attempt=7)
        assert self._puts(final, late) == [late]
        assert self._kept(task_id).state == "SUCCESS"

    def test_a_newer_publication_reopens_it(self) -> None:
        task_id = new_id()
        older, newer = self.keys(2)
        final = self.record(task_id, "FAILURE", key=older, attempt=3)
        started = self.record(task_id, "STARTED", key=newer, attempt=1)
        done = self.record(task_id, "SUCCESS", key=newer, attempt=1)
        assert self._puts(final, started, done) == []
        assert self._kept(task_id).state == "SUCCESS"

    def test_a_retry_follows_the_publication_it_replaces(self) -> None:
        task_id = new_id()
        older, newer = self.keys(2)
        retry = self.record(task_id, "RETRY", key=older, attempt=1)
        started = self.record(task_id, "STARTED", key=newer, attempt=1)
        assert self._puts(retry, started) == []
        assert self._kept(task_id).state == "STARTED"

    def test_a_clients_own_write_is_refused_by_a_final_record_only(self) -> None:
        task_id = new_id()
        revoked = self.record(task_id, "REVOKED")
        assert self._puts(self.record(task_id, "STARTED", key=new_id(), attempt=2)) == []
        assert self._puts(revoked) == []
        assert self._kept(task_id).state == "REVOKED"
        other = new_id()
        done = self.record(other, "SUCCESS", key=new_id(), attempt=1)
        late = self.record(other, "REVOKED")
        assert self._puts(done, late) == [late]
        assert self._kept(other).state == "SUCCESS"

    def test_in_a_batch_only_the_late_ones_are_refused(self) -> None:
        task_id, key = new_id(), new_id()
        self.one.put(self.record(task_id, "SUCCESS", key=key, attempt=1))
        late = self.record(task_id, "STARTED", key=key, attempt=1)
        fresh = self.record(new_id(), "STARTED", key=new_id(), attempt=1)
        assert self.one.put(late, fresh) == [late]
        assert self._kept(fresh.id).state == "STARTED"

    def test_the_same_record_again_changes_nothing_and_is_not_refused(self) -> None:
        record = self.record(new_id(), "SUCCESS", key=new_id(), attempt=1)
        assert self._puts(record, record) == []


class ArrivingCases(StoreStage):
    """arrive: true exactly once, for the last member of a group."""

    def test_true_for_the_last(self) -> None:
        group = new_id()
        members = [f"{number}" for number in range(4)]
        told = [self.one.store.arrive(group, member, len(members)) for member in members]
        assert told == [False, False, False, True]

    def test_a_member_that_comes_twice_counts_once(self) -> None:
        group, store = new_id(), self.one.store
        told = [store.arrive(group, member, 2) for member in ("a", "a", "a", "b")]
        assert told == [False, False, False, True]

    def test_after_the_last_nobody_is_last(self) -> None:
        group, store = new_id(), self.one.store
        told = [store.arrive(group, member, 2) for member in ("a", "b", "b", "a")]
        assert told == [False, True, False, False]

    def test_a_group_of_one(self) -> None:
        assert self.one.store.arrive(new_id(), "only", 1)

    def test_groups_do_not_mix(self) -> None:
        first, second = new_id(), new_id()
        assert not self.one.store.arrive(first, "a", 2)
        assert not self.one.store.arrive(second, "b", 2)
        assert self.one.store.arrive(first, "b", 2)

    def test_of_a_crowd_exactly_one_is_last(self) -> None:
        group, size = new_id(), 16
        told: list[bool] = []
        stores = (self.one.store, self.two.store)

        def come(number: int) -> None:
            told.append(stores[number % 2].arrive(group, f"{number}", size))

        threads = [threading.Thread(target=come, args=(number,)) for number in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(told) == [False] * (size - 1) + [True]


class ResultStoreContract(KeepingCases, RefusingCases, WaitingForResultsCases, ArrivingCases):
    """Everything a result store promises; subclass it and override ``make_store``."""
