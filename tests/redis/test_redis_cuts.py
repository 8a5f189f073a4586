"""The line is cut in the middle of every command and of every reply: nothing is lost or doubled.

At every byte with FAULTS=full in the environment (`make faults` sets it), else here and there.
"""

import os

import pytest

from penstock.brokers.registry import open_broker
from penstock.errors import Unavailable, Uncertain
from penstock.message import Again, Done, Message, Record, new_id
from penstock.results.registry import open_store
from proxy import BOTH, TO_CLIENT, TO_SERVER, Proxy

STRIDE = 1 if os.environ.get("FAULTS") == "full" else 5


def message():
    task_id = new_id()
    return Message(id=task_id, queue="orders", headers={"task": "t", "id": task_id}, body=b"[]")


def record(message):
    return Record(message.id, "SUCCESS", b'{"status": "SUCCESS"}', message.key, 1, final=True)


class Desk:
    """A client behind a line that can be cut, and one that sees what came of it."""

    def __init__(self, server, url):
        self.proxy = Proxy(server.port)
        through = url.replace(f":{server.port}/", f":{self.proxy.port}/")
        self.broker, self.store = open_broker(through), open_store(through)
        self.broker.keeps_records_of(self.store)
        self.other, self.results = open_broker(url), open_store(url)
        self.leases = []

    def publish(self):
        self.other.purge("orders")
        self.sent = message()
        self.broker.publish([self.sent])

    def a_lease(self):
        self.other.publish([message()])
        (lease,) = self.other.lease(["orders"], 5, 30.0)
        return lease

    def close(self):
        self.proxy.close()
        for each in (self.broker, self.store, self.other, self.results):
            each.close()


@pytest.fixture
def desk(redis_server, redis_url):
    desk = Desk(redis_server, redis_url)
    yield desk
    desk.close()


def cuts(desk, act):
    """Do it with the line cut at one place after the other; gives what it raised."""
    for direction in BOTH:
        act()  # on a connection that is there, and known
        before = desk.proxy.carried[direction]
        act()
        size = desk.proxy.carried[direction] - before
        assert size
        for place in [*range(0, size, STRIDE), size - 1]:
            desk.broker.depth("none")
            cut = desk.proxy.cut_after(place, direction)
            try:
                act()
            except Uncertain as error:
                assert cut.is_set(), f"{direction}, byte {place} of {size}"
                desk.proxy.heal()
                yield direction, error
            else:  # it said less this time, or the cut fell between two exchanges: that is seen
                assert not cut.is_set() or cut.clean, f"{direction}, byte {place} of {size}"
                desk.proxy.heal()


def test_a_publication_is_stored_once_or_never(desk):
    seen = set()
    for direction, error in cuts(desk, desk.publish):
        assert error.stored == ()
        there = [one.id for one in desk.other.peek("orders", 1000)]
        assert there.count(desk.sent.id) == (direction == TO_CLIENT)
        seen.add(direction)
    assert seen == set(BOTH)


def test_what_a_claim_got_whose_reply_was_lost_the_next_one_gets(desk):
    desk.other.publish([message() for _ in range(3)])

    def claim():
        leases = desk.broker.lease(["orders"], 2, 30.0)
        desk.other.settle([Again(lease, lease.message) for lease in leases])

    for _ in cuts(desk, claim):
        leases = desk.broker.lease(["orders"], 5, 30.0)
        assert len(leases) == 3
        assert {lease.deaths for lease in leases} == {0}
        desk.other.settle([Again(lease, lease.message) for lease in leases])


def test_so_does_one_that_shared_its_round_trip_with_a_settlement(desk):
    desk.other.publish([message() for _ in range(2)])
    held = []

    def turn():
        held[:] = desk.other.lease(["orders"], 1, 30.0)
        ended = [Again(held[0], held[0].message)]
        _, leases = desk.broker.settle_and_lease(ended, ["orders"], 1, 30.0)
        desk.other.settle([Again(lease, lease.message) for lease in leases])

    for _ in cuts(desk, turn):
        ended = [Again(held[0], held[0].message)]
        lost, leases = desk.broker.settle_and_lease(ended, ["orders"], 5, 30.0)
        assert lost == []
        assert len(leases) == 2
        assert {lease.deaths for lease in leases} == {0}
        desk.other.settle([Again(lease, lease.message) for lease in leases])


def test_leases_are_renewed_again(desk):
    lease = desk.a_lease()
    for _ in cuts(desk, lambda: desk.broker.extend([lease], 30.0)):
        assert [one.fence for one in desk.broker.extend([lease], 30.0)] == [lease.fence]


def test_a_settlement_is_repeated_and_its_record_is_there(desk):
    held = []

    def settle():
        held[:] = [desk.a_lease()]
        desk.broker.settle([Done(held[0], record(held[0].message))])

    for direction, _ in cuts(desk, settle):
        (lease,) = held
        (before,) = desk.results.get([lease.message.id])
        assert (before is not None) == (direction == TO_CLIENT)
        assert desk.broker.settle([Done(lease, record(lease.message))]) == []
        (found,) = desk.results.get([lease.message.id])
        assert found.document == record(lease.message).document
        assert desk.other.lease(["orders"], 5, 30.0) == []


def test_what_is_handed_back_comes_back_once(desk):
    held = []

    def hand_back():
        held[:] = [desk.a_lease()]
        desk.broker.settle([Again(held[0], held[0].message)])
        (again,) = desk.other.lease(["orders"], 5, 30.0)
        desk.other.settle([Done(again)])

    for _ in cuts(desk, hand_back):
        (lease,) = held
        assert desk.broker.settle([Again(lease, lease.message)]) == []
        (again,) = desk.other.lease(["orders"], 5, 30.0)
        assert (again.attempt, again.deaths) == (2, 0)
        assert desk.other.settle([Done(again)]) == []


def test_a_result_is_stored_again_and_read_again(desk):
    one = message()
    for direction, _ in cuts(desk, lambda: desk.store.put([record(one)])):
        assert direction in BOTH
        assert desk.store.put([record(one)]) == []
        (found,) = desk.results.get([one.id])
        assert found.state == "SUCCESS"
    for _ in cuts(desk, lambda: desk.store.get([one.id])):
        (found,) = desk.store.get([one.id])
        assert found.state == "SUCCESS"


def test_upkeep_is_repeated(desk):
    for _ in cuts(desk, desk.broker.tend):
        desk.broker.tend()


@pytest.mark.parametrize("direction", BOTH)
def test_a_cut_while_it_connects_leaves_no_doubt(desk, direction):
    desk.broker.publish([message()])
    desk.broker.engine.close()
    before = dict(desk.proxy.carried)
    desk.broker.publish([message()])
    size = desk.proxy.carried[direction] - before[direction]
    desk.proxy.cut()
    desk.broker.engine.close()
    for place in range(0, min(60, size), 7):
        desk.broker.engine.close()
        cut = desk.proxy.cut_after(place, direction)
        with pytest.raises((Unavailable, Uncertain)) as caught:
            desk.broker.publish([message()])
        assert cut.is_set()
        desk.proxy.heal()
        if place < 20:  # in the middle of the password, and of the answer to it
            assert isinstance(caught.value, Unavailable)
    assert desk.proxy.carried[TO_SERVER] > before[TO_SERVER]
    assert desk.other.depth("orders") >= 1
