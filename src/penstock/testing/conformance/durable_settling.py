"""Settling: that very item, once, by whoever holds it; done, returned or kept aside."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from penstock.errors import ConfigError, ShutDown
from penstock.testing.conformance.durable_stage import DurableStage
from penstock.testing.conformance.stage import needs

__all__ = ["ReturnCases", "SettleCases", "TakeCases"]


class SettleCases(DurableStage):
    """task_done."""

    def test_what_is_got_is_held_until_it_is_settled(self) -> None:
        self.one.put("item")
        item = self.one.get()
        assert self.one.queue.held() == ["item"]
        assert self.two.has_nothing()
        self.one.done(item)
        assert self.one.queue.held() == []
        self.let_the_lease_end()
        assert self.two.has_nothing()

    def test_it_is_that_very_item_that_is_settled(self) -> None:
        self.one.put_many([{"n": 1}, {"n": 1}, {"n": 1}])
        first, second, third = (self.one.get() for _ in range(3))
        self.one.done(second)
        assert [id(item) for item in self.one.queue.held()] == [id(first), id(third)]

    def test_it_may_have_been_changed_meanwhile(self) -> None:
        self.one.put({"n": 1})
        item = self.one.get()
        item["n"] = 2
        self.one.done(item)
        self.let_the_lease_end()
        assert self.two.has_nothing()

    def test_a_copy_will_do(self) -> None:
        self.one.put({"n": [1]})
        self.one.done(copy.deepcopy(self.one.get()))
        assert self.one.queue.held() == []

    def test_of_equal_ones_each_is_settled_once(self) -> None:
        self.one.put_many([7, 7])
        item = self.one.get()
        self.one.get()
        self.one.done(item)
        self.one.done(item)
        with pytest.raises(ValueError, match="7 is not held"):
            self.one.done(item)

    @pytest.mark.parametrize("other", [True, 1.0, "1", [1], None])
    def test_another_type_is_another_item(self, other: Any) -> None:
        self.one.put(1)
        self.one.get()
        with pytest.raises(ValueError, match="not held"):
            self.one.done(other)
        assert self.one.queue.held() == [1]

    def test_what_another_holds_is_not_held_here(self) -> None:
        self.one.put("item")
        item = self.two.get()
        with pytest.raises(ValueError, match="not held"):
            self.one.done(item)
        self.two.done(item)

    def test_several_at_once(self) -> None:
        self.one.put_many([1, 2, 3])
        one, two, three = self.one.get_many(3)
        with pytest.raises(ValueError, match="'none'"):
            self.one.done(one, "none", two)
        assert self.one.queue.held() == [1, 2, 3]
        self.one.done(one, three)
        assert self.one.queue.held() == [2]
        self.one.done()

    @needs("inspects", "exact_depth")
    def test_the_numbers(self) -> None:
        queue = self.two.queue
        assert (queue.qsize(), queue.unfinished(), queue.empty()) == (0, 0, True)
        self.one.put_many([1, 2, 3])
        item = self.one.get()
        assert (queue.qsize(), queue.unfinished(), queue.empty()) == (2, 3, False)
        self.one.done(item)
        assert (queue.qsize(), queue.unfinished(), queue.full()) == (2, 2, False)
        facts = self.one.queue.statistics()
        assert (facts["put"], facts["got"], facts["done"], facts["held"]) == (3, 1, 1, 0)


class TakeCases(DurableStage):
    """``with q.take() as item``."""

    def test_it_is_settled_at_the_end(self) -> None:
        self.one.put("item")
        assert self.two.work(_nothing) == "item"
        assert self.two.queue.held() == []
        self.let_the_lease_end()
        assert self.one.has_nothing()

    def test_an_exception_returns_it_to_the_head(self) -> None:
        self.one.put(1, 2)
        self.one.fail(RuntimeError("no"))
        item = self.two.get()
        assert (item, self.two.queue.attempt(item)) == (1, 2)

    @needs("inspects")
    def test_after_so_many_failures_it_is_kept_aside(self) -> None:
        user = self.user(max_attempts=2)
        user.put("poison", "good")
        user.fail(RuntimeError("first"))
        user.fail(RuntimeError("second"))
        assert self.two.finish() == ["good"]
        (dead,) = self.two.queue.dead()
        assert (dead.item, dead.attempts) == ("poison", 2)
        assert "RuntimeError: second" in dead.reason

    def test_failures_are_counted_across_users(self) -> None:
        one, two = self.user(max_attempts=2), self.user(max_attempts=2)
        one.put("poison")
        one.fail(RuntimeError("first"))
        two.fail(RuntimeError("second"))
        assert self.one.has_nothing()

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
    def test_a_stop_is_not_the_items_fault(self, stop: type[BaseException]) -> None:
        user = self.user(max_attempts=1)
        user.put("item")
        for _ in range(3):
            user.fail(stop())
        assert user.finish() == ["item"]

    def test_it_may_be_settled_within(self) -> None:
        self.one.put("item")
        self.one.work(self.one.queue.task_done)
        assert self.one.queue.held() == []
        assert self.two.has_nothing()

    def test_a_get_of_an_equal_item_settles_its_own(self) -> None:
        self.one.put_many([7, 7])
        item = self.one.get()
        self.one.work(lambda _: self.one.queue.task_done(item))
        assert self.one.queue.held() == []
        self.let_the_lease_end()
        assert self.two.has_nothing()

    @needs("delays")
    def test_a_failed_one_may_have_to_wait(self) -> None:
        user = self.user(retry_delay=5 * self.tick)
        user.put(1, 2)
        user.fail(RuntimeError("no"))
        assert self.two.finish() == [2]
        self.pass_time(6 * self.tick)
        assert self.two.finish() == [1]


class ReturnCases(DurableStage):
    """put_back, bury, close, and leaving a loop."""

    def test_put_back_counts_as_no_failure(self) -> None:
        user = self.user(max_attempts=1)
        user.put(1, 2)
        for _ in range(3):
            user.put_back(user.get())
        assert user.finish() == [1, 2]

    @needs("delays")
    def test_put_back_for_later(self) -> None:
        self.one.put(1, 2)
        self.one.put_back(self.one.get(), countdown=5 * self.tick)
        assert self.two.finish() == [2]
        self.pass_time(6 * self.tick)
        assert self.two.finish() == [1]

    @needs("inspects")
    def test_bury_keeps_it_aside(self) -> None:
        self.one.put(1)
        self.one.bury(self.one.get(), "of no use")
        assert self.two.has_nothing()
        assert [(dead.item, dead.reason) for dead in self.two.queue.dead()] == [(1, "of no use")]

    def test_what_is_not_held_is_not_returned(self) -> None:
        with pytest.raises(ValueError, match="not held"):
            self.one.put_back(1)
        with pytest.raises(ValueError, match="not held"):
            self.one.bury(1, "no reason")

    def test_close_returns_what_is_held(self) -> None:
        user = self.user(max_attempts=1, max_deaths=1)
        user.put_many([1, 2, 3])
        user.get()
        user.get()
        user.queue.close()
        assert self.two.finish() == [1, 2, 3]

    def test_a_block_that_runs_when_it_is_closed_settles_its_item(self) -> None:
        user = self.user()
        user.put_many([1, 2])
        user.work(lambda _: user.queue.close())
        self.let_the_lease_end()
        assert self.two.finish() == [2]

    def test_a_block_that_fails_after_it_was_closed_returns_its_item(self) -> None:
        user = self.user()
        user.put_many([1, 2])

        def work(_: Any) -> None:
            user.queue.close()
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            user.work(work)
        assert self.two.finish() == [1, 2]

    def test_after_close_there_is_nothing_to_do(self) -> None:
        self.one.put(1)
        item = self.one.get()
        self.one.queue.close()
        self.one.queue.close()
        for use in (self.one.get, lambda: self.one.put(1), lambda: self.one.done(item)):
            with pytest.raises(ShutDown, match=self.name):
                use()
        assert self.one.queue.closed

    def test_a_batch_is_one_at_least(self) -> None:
        with pytest.raises(ConfigError, match="limit"):
            self.one.get_many(0)


def _nothing(_: Any) -> None:
    pass
