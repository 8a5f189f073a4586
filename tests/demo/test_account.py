"""The account says what the journal says: who is done, what was lost, why a step ran twice."""

import itertools

import pytest

from penstock.demo.account import Kill, account
from penstock.demo.journal import Entry

MS = 1_000_000


class Shop:
    """Writes a journal by hand; each entry is a millisecond after the one before."""

    def __init__(self):
        self.clock = itertools.count(MS, MS)
        self.entries = []
        self.kills = []

    def start(self, step, order=1, *, task=None, parent="-", pid=10):
        task = task or f"{step}-{order}"
        self.entries.append(Entry(next(self.clock), pid, step, order, task, parent, 1, "start"))

    def end(self, step, order=1, *, task=None, parent="-", pid=10):
        task = task or f"{step}-{order}"
        self.entries.append(Entry(next(self.clock), pid, step, order, task, parent, 1, "end"))

    def run(self, step, order=1, **how):
        self.start(step, order, **how)
        self.end(step, order, **how)

    def order(self, number, **how):
        self.run("pay", number, **how)
        self.run("pick", number, parent=f"pay-{number}", **how)
        self.run("ship", number, parent=f"pick-{number}", **how)

    def kill(self, what, *pids):
        self.kills.append(Kill(what, next(self.clock), frozenset(pids)))

    def account(self, orders):
        return account(orders, self.entries, self.kills)


@pytest.fixture
def shop():
    return Shop()


def test_every_order_is_done_when_each_step_ran_once(shop):
    for number in (1, 2, 3):
        shop.order(number)
    found = shop.account(3)
    assert str(found) == "orders 3  done 3  lost 0  run twice 0"
    assert found.runs == {"pay": 3, "pick": 3, "ship": 3}
    assert found.good


def test_an_order_that_was_never_shipped_is_lost(shop):
    shop.order(1)
    shop.run("pay", 2)
    found = shop.account(2)
    assert str(found) == "orders 2  done 1  lost 1  run twice 0"
    assert not found.good


def test_a_shipment_that_only_began_is_lost(shop):
    shop.run("pay")
    shop.run("pick", parent="pay-1")
    shop.start("ship", parent="pick-1")
    assert shop.account(1).lost == 1


@pytest.mark.parametrize("what", ["executor", "worker"])
def test_a_run_that_was_cut_explains_the_next(shop, what):
    shop.start("pay", pid=10)
    shop.kill(what, 10)
    shop.order(1, pid=11)
    found = shop.account(1)
    assert found.causes == {f"its {what} was killed while it ran": 1}
    assert found.kills == {what: 1}
    assert found.reruns == [(what, pytest.approx(0.001))]
    assert found.good


def test_a_run_that_ended_before_death_arrived_was_cut_all_the_same(shop):
    shop.start("pay", pid=10)
    shop.kill("worker", 10)
    shop.end("pay", pid=10)
    shop.order(1, pid=11)
    assert shop.account(1).causes == {"its worker was killed while it ran": 1}


def test_a_run_that_had_just_ended_may_not_be_settled(shop):
    shop.run("pay", pid=10)
    shop.kill("worker", 10)
    shop.order(1, pid=11)
    assert shop.account(1).causes == {"its worker was killed before the run was settled": 1}


def test_a_run_that_had_ended_long_before_the_kill_explains_nothing(shop):
    shop.run("pay", pid=10)
    shop.clock = itertools.count(10_000 * MS, MS)
    shop.kill("worker", 10)
    shop.order(1, pid=11)
    found = shop.account(1)
    assert found.unexplained == 1
    assert not found.good


def test_a_kill_of_somebody_else_explains_nothing(shop):
    shop.start("pay", pid=10)
    shop.kill("executor", 12)
    shop.order(1, pid=11)
    assert shop.account(1).unexplained == 1


def test_a_repeated_parent_explains_its_repeated_children(shop):
    shop.start("pay", pid=10)
    shop.kill("executor", 10)  # after it had sent its pick
    shop.run("pick", task="pick-a", parent="pay-1")
    shop.run("pay", pid=11)
    shop.run("pick", task="pick-b", parent="pay-1")
    shop.run("ship", task="ship-a", parent="pick-a")
    shop.run("ship", task="ship-b", parent="pick-b")
    found = shop.account(1)
    assert found.causes == {
        "its executor was killed while it ran": 1,
        "its parent was repeated": 2,
    }
    assert found.good


def test_more_children_than_runs_of_the_parent_are_not_explained(shop):
    shop.run("pay")
    shop.run("pick", task="pick-a", parent="pay-1")
    shop.run("pick", task="pick-b", parent="pay-1")
    shop.run("ship", task="ship-a", parent="pick-a")
    assert shop.account(1).unexplained == 1
