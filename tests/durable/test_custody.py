"""What a process holds: found by identity, then by value; seized by one at a time."""

import pytest

from penstock.durable.custody import Custody, Held
from penstock.durable.items import pack
from penstock.message import Lease


def held(item, **flags):
    return Held(item, Lease(pack(item, "q"), 1, 0.0, 1), **flags)


def custody_of(*ones):
    custody = Custody()
    assert custody.admit(ones)
    return custody


def test_identity_comes_before_equality():
    first, second = held([1]), held([1])
    custody = custody_of(first, second)
    assert custody.seize([second.item]) == [second]
    assert custody.seize([[1]]) == [first]


def test_what_is_being_settled_is_nobody_elses():
    one = held("item")
    custody = custody_of(one)
    custody.seize([one.item])
    with pytest.raises(ValueError, match="not held"):
        custody.seize([one.item])
    assert not custody.seize_one(one)
    custody.keep([one])
    assert custody.seize_one(one)


def test_a_failed_search_seizes_nothing():
    one = held("item")
    custody = custody_of(one)
    with pytest.raises(ValueError, match="'other'"):
        custody.seize(["item", "other"])
    assert custody.seize(["item"]) == [one]


def test_the_same_item_twice_takes_two():
    custody = custody_of(held(7))
    with pytest.raises(ValueError, match="7"):
        custody.seize([7, 7])


def test_what_a_block_has_taken_is_found_last():
    taken, free = held(7, taken=True), held(7)
    custody = custody_of(taken, free)
    assert custody.seize([7, 7]) == [free, taken]


def test_an_item_with_a_strange_equality_is_compared_with_its_own_kind_only():
    class Strange:
        __hash__ = None

        def __eq__(self, other):
            raise RuntimeError("never asked")

    with pytest.raises(ValueError, match="not held"):
        custody_of(held([1])).seize([Strange()])


def test_not_a_number_is_itself():
    nan = float("nan")
    one = held(nan)
    assert custody_of(one).seize([nan]) == [one]


def test_a_renewal_that_comes_late_harms_nobody():
    one, settled = held("item"), held("settled")
    custody = custody_of(one, settled)
    asked = custody.to_renew()
    custody.let_go([settled])
    assert custody.renewed(asked, [one.lease]) == []
    assert custody.to_renew() == [one]


def test_what_is_lost_is_renewed_no_more_but_still_found():
    one = held("item")
    custody = custody_of(one)
    assert custody.renewed([one], []) == [one]
    assert custody.to_renew() == []
    assert custody.seize(["item"]) == [one]


def test_closing_returns_what_no_block_holds():
    free, taken, left, busy = held(1), held(2, taken=True), held(3, taken=True), held(4)
    custody = custody_of(free, taken, left, busy)
    left.left = True
    custody.seize_one(busy)
    assert custody.close() == [free, left]
    assert custody.close(process_ends=True) == [taken]
    assert len(custody) == 1
    assert not custody.admit([held(5)])
