"""Items: what comes out is what was put in, in order, at its time; and what is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from penstock.errors import ConfigError, EncodeError
from penstock.message import Message, new_id
from penstock.testing.conformance.durable_stage import DurableStage
from penstock.testing.conformance.stage import needs

__all__ = ["ItemCases", "WishCases"]

_PLAIN: list[Any] = [
    *(None, True, False, 0, -1, 2**70, 1.5, float("inf"), "", "grün", "\x00", "\ud800", []),
    {"": {}, "nested": [[[]], {"a": None}], "__type__": "alone"},
    *(b"", b"text", b"\xff\x00", Decimal("1.50"), UUID(int=7)),
    *(dt.date(2026, 2, 28), dt.time(1, 2, 3), dt.datetime(2026, 2, 28, 1, 2, 3, 4)),  # noqa: DTZ001
    dt.datetime(2026, 2, 28, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
]


class _NoForm:
    pass


class ItemCases(DurableStage):
    """put and get of plain data."""

    def test_plain_data_comes_back_as_it_was(self) -> None:
        self.one.put(*_PLAIN)
        for item in _PLAIN:
            got = self.two.get()
            assert got == item
            assert type(got) is type(item)

    def test_a_tuple_comes_back_as_a_list_and_a_key_as_text(self) -> None:
        self.one.put({1: (2, 3)})
        assert self.two.get() == {"1": [2, 3]}

    def test_a_large_item(self) -> None:
        item = {"text": "x" * 1_000_000}
        self.one.put(item)
        assert self.two.get() == item

    @pytest.mark.parametrize("item", [{1}, _NoForm(), [lambda: None], {b"k": 1}])
    def test_what_has_no_form_is_refused_and_nothing_is_stored(self, item: Any) -> None:
        with pytest.raises(EncodeError):
            self.one.put(item)
        with pytest.raises(EncodeError, match="item 1"):
            self.one.put_many(["good", item, "good"])
        assert self.two.has_nothing()

    def test_a_map_that_looks_like_a_type_of_ours_is_refused(self) -> None:
        """It could not be read again, and would end as a dead letter."""
        with pytest.raises(EncodeError, match="__type__"):
            self.one.put([{"__type__": "mine", "__value__": 1}])

    def test_first_in_first_out(self) -> None:
        self.one.put(*range(5))
        assert self.one.put_many([5, 6, 7]) == 3
        self.two.put(8)
        assert self.two.finish() == list(range(9))

    def test_many_of_none_is_nothing(self) -> None:
        assert self.one.put_many([]) == 0
        assert self.two.has_nothing()

    def test_a_batch_takes_what_there_is(self) -> None:
        self.one.put_many(list(range(5)))
        assert self.two.get_many(3) == [0, 1, 2]
        assert self.two.get_many(3) == [3, 4]

    def test_queues_are_apart(self) -> None:
        name, self.name = self.name, f"{self.name}-other"
        other = self.user()
        self.name = name
        other.put("theirs")
        assert self.one.has_nothing()
        assert other.get() == "theirs"

    def test_a_task_queue_of_the_same_name_is_another(self) -> None:
        broker = self.raw()
        broker.publish([Message(id=new_id(), queue=self.name, headers={}, body=b"1")])
        self.one.put("an item")
        assert [lease.message.body for lease in broker.lease([self.name], 10, 60)] == [b"1"]
        assert self.two.finish() == ["an item"]

    def test_on_the_broker_its_name_starts_with_ours(self) -> None:
        self.one.put("an item")
        (lease,) = self.raw().lease([f"penstock.queue.{self.name}"], 1, 60)
        assert lease.message.body == b'"an item"'


class WishCases(DurableStage):
    """countdown, eta, expires and priority."""

    @needs("delays")
    def test_a_countdown(self) -> None:
        self.one.put("later", countdown=5 * self.tick)
        self.one.put("now")
        assert self.two.finish() == ["now"]
        self.pass_time(6 * self.tick)
        assert self.two.finish() == ["later"]

    @needs("delays")
    def test_a_moment(self) -> None:
        at = dt.datetime.fromtimestamp(self.clock.wall() + 5 * self.tick, dt.UTC)
        self.one.put_many(["later"], eta=at)
        assert self.two.has_nothing()
        self.pass_time(6 * self.tick)
        assert self.two.finish() == ["later"]

    @needs("priorities")
    def test_the_urgent_first(self) -> None:
        for priority in ("low", "high", "low", "high"):
            self.one.put(priority, priority=priority)
        assert self.two.finish() == ["high", "high", "low", "low"]

    def test_what_expires_is_not_given_out(self) -> None:
        self.one.put("old", expires=2 * self.tick)
        self.one.put("good", expires=1_000 * self.tick)
        self.pass_time(3 * self.tick)
        assert self.two.finish() == ["good"]
        assert self.two.queue.statistics()["expired"] == 1

    def test_what_is_no_wish(self) -> None:
        for wishes in ({"delay": 1}, {"expires": "soon"}, {"priority": 10}, {"priority": "top"}):
            with pytest.raises(ConfigError):
                self.one.put("item", **wishes)
        assert self.two.has_nothing()
