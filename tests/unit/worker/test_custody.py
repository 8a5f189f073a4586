"""What gathers while the broker is away, and when it is asked again."""

import logging

import pytest
from msgspec.structs import replace

from penstock.brokers.base import Capabilities
from penstock.clock import ManualClock
from penstock.errors import BrokerError, ConfigError, Unavailable, Uncertain
from penstock.message import Again, Done, Lease, Message, Record, key_after, new_id
from penstock.worker.custody import Custody


class Broker:
    """Says what it is told to say next; what was settled is kept."""

    capabilities = Capabilities()

    def __init__(self):
        self.trouble = None
        self.claims_refused = None
        self.settled = []
        self.leases = []

    def keeps_records_of(self, store):
        return True

    def _settle(self, settlements):
        if self.trouble:
            raise self.trouble
        self.settled += settlements
        return []

    settle = _settle

    def settle_and_lease(self, settlements, queues, limit, ttl):
        if self.claims_refused:
            raise self.claims_refused
        return self._settle(settlements), self.leases[:limit]

    def extend(self, leases, ttl):
        if self.trouble:
            raise self.trouble
        return leases

    def tend(self):
        if self.trouble:
            raise self.trouble


class Desk:
    def __init__(self):
        self.clock = ManualClock()
        self.broker = Broker()
        self.log = logging.getLogger("test custody")
        self.custody = Custody(
            broker=self.broker, store=object(), ttl=15.0, clock=self.clock, log=self.log
        )


@pytest.fixture
def desk():
    return Desk()


def settlement():
    task_id = new_id()
    return Done(Lease(Message(id=task_id, queue="q", headers={}, body=b""), 1, 0.0, 1, 0))


@pytest.mark.parametrize("trouble", [Unavailable("gone"), Uncertain("cut"), BrokerError("no")])
def test_what_could_not_be_settled_is_settled_later(desk, trouble):
    one = settlement()
    desk.custody.settle(one)
    desk.broker.trouble = trouble
    assert desk.custody.exchange(["q"], 1) == []
    assert desk.custody.pending
    assert 0 < desk.custody.resting <= 0.1
    desk.broker.trouble = None
    desk.clock.advance(0.1)
    desk.custody.exchange(["q"], 1)
    assert desk.broker.settled == [one]
    assert not desk.custody.pending
    assert not desk.custody.resting


def test_while_it_rests_the_broker_is_not_asked(desk):
    desk.broker.trouble = Unavailable("gone")
    desk.custody.tend()
    desk.broker.trouble = AssertionError("asked")
    assert desk.custody.exchange(["q"], 1) == []
    assert desk.custody.tend() == desk.custody.resting


def test_after_a_long_time_away_it_is_asked_every_second(desk):
    desk.broker.trouble = Unavailable("gone")
    for _ in range(20):
        desk.custody.tend()
        assert desk.custody.resting <= 1.0
        desk.clock.advance(desk.custody.resting)
    assert desk.custody.resting == 0


def test_a_ring_ends_the_rest(desk):
    desk.broker.trouble = Unavailable("gone")
    for _ in range(20):
        desk.custody.tend()
        desk.clock.advance(desk.custody.resting)
    desk.custody.tend()
    assert desk.custody.resting > 0.1
    desk.custody.hurry()
    assert desk.custody.resting < 0.101


def test_who_insists_asks_at_once(desk):
    one = settlement()
    desk.custody.settle(one)
    desk.broker.trouble = Unavailable("gone")
    desk.custody.exchange((), 0)
    desk.broker.trouble = None
    assert desk.custody.resting
    desk.custody.insist()
    desk.custody.exchange((), 0)
    assert desk.broker.settled == [one]


def test_what_claims_refuse_does_not_hold_up_settlements(desk, caplog):
    """A queue's key holds something else: the others' work is settled all the same."""
    one = settlement()
    desk.custody.settle(one)
    desk.broker.claims_refused = BrokerError("the key holds no list")
    for _ in range(5):
        desk.custody.exchange(["q"], 1)
        desk.clock.advance(2.0)
    assert desk.broker.settled == [one]
    assert caplog.text.count("holds no list") == 1
    desk.broker.claims_refused = None
    desk.custody.exchange(["q"], 1)
    assert not desk.custody.pending


@pytest.mark.parametrize("trouble", [ConfigError("another password"), BrokerError("no")])
def test_a_refusal_is_told_once_for_each_reason(desk, trouble, caplog):
    desk.broker.trouble = trouble
    for _ in range(3):
        desk.custody.tend()
        desk.clock.advance(2.0)
    desk.broker.trouble = BrokerError("something else")
    desk.custody.tend()
    assert caplog.text.count("refuses") == 2


def test_leases_that_could_not_be_renewed_are_still_held(desk):
    lease = settlement().lease
    desk.broker.trouble = Uncertain("cut")
    assert desk.custody.extend([lease]) == {lease.message.key}
    assert desk.custody.resting


def test_what_had_ended_before_counts_as_claimed(desk):
    """A whole batch of it is no sign that nothing is left: that once cost a second each."""
    ended = [settlement().lease for _ in range(3)]
    desk.broker.leases = ended
    desk.broker.capabilities = Capabilities(revokes=False)
    records = {
        x.message.id: Record(x.message.id, "SUCCESS", b"", x.message.key, 1, final=True)
        for x in ended
    }
    desk.custody._store = Store(records)
    assert desk.custody.exchange(["q"], 3) == []
    assert desk.custody.claimed == 3
    desk.broker.leases = []
    desk.custody.exchange(["q"], 3)
    assert desk.custody.claimed == 0
    assert desk.broker.settled == [Done(lease) for lease in ended]


@pytest.fixture
def apart(desk):
    """A desk whose broker knows no results, and may have a message twice; gives its store."""
    desk.broker.keeps_records_of = lambda store: False
    desk.broker.capabilities = Capabilities(revokes=False, settles_surely=False)
    store = Store({})
    desk.custody = Custody(
        broker=desk.broker, store=store, ttl=15.0, clock=desk.clock, log=desk.log
    )
    return store


def retried():
    lease = settlement().lease
    follower = replace(lease.message, key=key_after(lease.message.key))
    return Again(lease, follower, 0.0, Record(lease.message.id, "RETRY", b"", lease.message.key, 1))


def test_a_second_copy_of_what_was_retried_does_not_run(desk, apart):
    """Neither where it is claimed with the retry, nor by who looks later."""
    retry = retried()
    desk.custody.settle(retry)
    copy = replace(retry.lease, attempt=2, fence=2)
    desk.broker.leases = [copy, replace(retry.lease, message=retry.message, fence=3)]
    (open_,) = desk.custody.exchange(["q"], 3)
    assert open_.message == retry.message
    assert desk.custody.repeated == 1
    told = apart.get([copy.message.id])[0]
    assert (told.state, told.key, told.final) == ("RETRY", retry.message.key, False)


def test_what_was_retried_is_open_until_the_retry_is_sent(desk, apart):
    """Else a crash between the two would lose the task."""
    retry = retried()
    desk.custody.settle(retry)
    desk.broker.claims_refused = Unavailable("away")
    desk.custody.exchange(["q"], 3)
    assert [record.key for record in apart.put_] == [retry.lease.message.key]
    desk.broker.claims_refused = None
    desk.clock.advance(1.0)
    desk.custody.exchange((), 0)
    assert desk.custody.pending  # of the retry, with the next exchange
    desk.custody.exchange((), 0)
    assert [record.key for record in apart.put_][1:] == [retry.message.key]
    assert not desk.custody.pending


def test_a_retry_whose_lease_was_lost_is_not_told_of(desk, apart):
    retry = retried()
    desk.custody.settle(retry)
    desk.broker.settle_and_lease = lambda settlements, *_: (settlements, [])
    desk.custody.exchange((), 0)
    assert [record.key for record in apart.put_] == [retry.lease.message.key]
    assert not desk.custody.pending


class Store:
    def __init__(self, records):
        self._records = records
        self.put_ = []

    def put(self, records):
        self.put_ += records
        self._records |= {record.id: record for record in records}

    def get(self, ids):
        return [self._records.get(task_id) for task_id in ids]
