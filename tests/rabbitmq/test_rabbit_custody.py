"""Custody on RabbitMQ over a line that breaks: nothing is lost, what is there twice is known."""

import logging
import time

import amqp
import pytest
from msgspec.structs import replace

from penstock.brokers import amqp_claims
from penstock.brokers.amqp import AmqpBroker
from penstock.clock import SystemClock
from penstock.errors import Unavailable, Uncertain
from penstock.message import Again, Done, Message, Record, key_after, new_id
from penstock.results.registry import open_store
from penstock.url import Url
from penstock.worker.custody import Custody
from penstock.worker.second_look import sift
from proxy import TO_CLIENT, TO_SERVER, Proxy
from workers import wait_for


def message(queue, **fields):
    task_id = new_id()
    return Message(
        id=task_id, queue=queue, headers={"task": "t", "id": task_id}, body=b"[]", **fields
    )


def ended(lease):
    one = lease.message
    return Record(one.id, "SUCCESS", b"{}", one.key, lease.attempt, final=True)


@pytest.fixture
def queue():
    return f"orders-{new_id()}"


@pytest.fixture
def line(rabbit_server, rabbit_url):
    """A line to the server that can be cut."""
    with Proxy(rabbit_server.port) as proxy:
        yield proxy


@pytest.fixture
def opened(rabbit_server, rabbit_url, line):
    """Opens brokers, at the line's end or (``straight=True``) beside it.

    They have no heartbeats, so that the line carries only what a test does.
    """
    brokers = []

    def open_one(options="heartbeat=1000", *, straight=False):
        url = f"{rabbit_url}?{options}"
        if not straight:
            url = url.replace(f":{rabbit_server.port}/", f":{line.port}/")
        brokers.append(AmqpBroker.from_url(Url.parse(url)))
        return brokers[-1]

    yield open_one
    line.heal()
    for broker in brokers:
        broker.close()


def test_a_publication_whose_confirm_is_lost_is_in_doubt_and_there_once(opened, line, queue):
    broker = opened()
    broker.publish([message(queue)])
    sent = message(queue)
    line.drop_reply()
    with pytest.raises(Uncertain):
        broker.publish([sent])
    leases = opened(straight=True).lease([queue], 10, 30.0)
    assert [lease.message.key for lease in leases[1:]] == [sent.key]


def test_a_retry_whose_confirm_was_lost_is_known_when_it_comes_twice(opened, line, queue):
    """The settlement is repeated, so there are two of it: one publication, which runs once."""
    broker, other = opened(), opened(straight=True)
    broker.publish([message(queue)])
    (lease,) = broker.lease([queue], 1, 30.0)
    again = Again(lease, replace(lease.message, key=key_after(lease.message.key)))
    cut = line.drop_reply()
    with pytest.raises(Uncertain):
        broker.settle([again])
    assert cut.is_set()
    assert broker.settle([again]) == []
    assert other.depth(queue) == 2
    (first,) = other.lease([queue], 1, 30.0)
    (second,) = opened(straight=True).lease([queue], 1, 30.0)
    assert first.message.key == second.message.key == again.message.key
    assert sift([second], [ended(first)]).open == []


def test_what_is_there_twice_is_held_once(opened, line, queue):
    """By one holder, for as long as it holds the first of them."""
    broker = opened(straight=True)
    one, another = message(queue), message(queue)
    broker.publish([one, one, another, one])
    leases = broker.lease([queue], 10, 30.0)
    assert [lease.message.key for lease in leases] == [one.key, another.key]
    broker.publish([one])
    assert broker.lease([queue], 10, 30.0) == []
    assert broker.settle([Done(lease) for lease in leases]) == []
    broker.publish([one])  # nobody holds it any more: the store knows more
    assert len(broker.lease([queue], 10, 30.0)) == 1


def test_what_is_handed_back_is_no_twin_of_itself(opened, line, queue):
    """Who claims while it is on its way may be given it."""
    broker = opened(straight=True)
    broker.publish([message(queue)])
    (lease,) = broker.lease([queue], 1, 30.0)
    plan = broker._settle([Again(lease, lease.message)])
    reply = None
    for _ in range(2):  # it is published, and not acknowledged yet
        reply = broker.engine.execute(plan.send(reply))
    (again,) = broker.lease([queue], 1, 30.0)
    broker.engine.execute(plan.send(reply))
    assert next(plan, None) is None
    assert broker.settle([Done(again)]) == []


def test_what_a_cut_gives_out_again_asks_for_the_same_retry(opened, line, queue):
    broker, other = opened(), opened(straight=True)
    broker.publish([message(queue)])
    (lease,) = broker.lease([queue], 1, 30.0)
    broker.settle([Again(lease, replace(lease.message, key=key_after(lease.message.key)))])
    (retry,) = broker.lease([queue], 1, 30.0)
    line.cut()
    (again,) = wait_for(lambda: other.lease([queue], 1, 30.0, wait=1.0))
    assert (again.message.key, again.attempt) == (retry.message.key, 2)
    assert again.message.key == key_after(lease.message.key)


def test_a_second_copy_of_what_was_retried_is_found_out(opened, queue):
    """A worker that dies while it moves a message leaves two; the retry of one ends both."""
    broker, store = opened(straight=True), open_store("memory://copies")
    custody = Custody(
        broker=broker, store=store, ttl=30.0, clock=SystemClock(), log=logging.getLogger("test")
    )
    one = message(queue)
    broker.publish([one])
    (lease,) = custody.exchange([queue], 1)
    follower = replace(lease.message, key=key_after(lease.message.key))
    record = Record(one.id, "RETRY", b"{}", lease.message.key, lease.attempt)
    custody.settle(Again(lease, follower, record=record))
    custody.exchange((), 0)
    broker.publish([one])
    leases = custody.exchange([queue], 3) + custody.exchange([queue], 3)
    assert [lease.message.key for lease in leases] == [follower.key]
    assert custody.repeated == 1


def test_an_acknowledgement_that_is_lost_is_in_doubt_and_found_out(opened, line, queue):
    broker, other = opened(), opened(straight=True)
    broker.publish([message(queue)])
    (lease,) = broker.lease([queue], 1, 30.0)
    line.cut_after(0, TO_SERVER)
    with pytest.raises(Uncertain):
        broker.settle([Done(lease)])
    (again,) = wait_for(lambda: other.lease([queue], 1, 30.0, wait=1.0))
    assert (again.message.key, again.attempt, again.deaths) == (lease.message.key, 2, 1)
    assert sift([again], [ended(lease)]).ended == [again]


def test_a_worker_does_not_wait_for_an_answer_to_its_acknowledgements(opened, line, queue):
    broker, other = opened(), opened(straight=True)
    broker.publish([message(queue)])
    (lease,) = broker.lease([queue], 1, 30.0)
    line.stall(TO_CLIENT)
    assert broker.settle_and_lease([Done(lease)], [], 0, 30.0) == ([], [])
    line.heal()
    assert broker.lease([queue], 1, 30.0) == [], "the answer to which comes after it was read"
    assert broker.settle([Done(lease)]) == [], "it is known what was settled"
    line.cut()  # the server gives out what it has no acknowledgement of
    assert other.lease([queue], 1, 30.0, wait=0.5) == []


def test_an_acknowledgement_nobody_waited_for_is_found_out_as_well(opened, line, queue):
    broker, other = opened(), opened(straight=True)
    broker.publish([message(queue)])
    (lease,) = broker.lease([queue], 1, 30.0)
    line.cut_after(0, TO_SERVER)
    assert broker.settle_and_lease([Done(lease)], [], 0, 30.0) == ([], [])
    (again,) = wait_for(lambda: other.lease([queue], 1, 30.0, wait=1.0))
    assert sift([again], [ended(lease)]).ended == [again]


def test_a_server_that_never_answers_is_given_up(opened, line, queue, monkeypatch):
    """The library waits for ever for some replies."""
    monkeypatch.setattr("penstock.engines.amqp.REPLY_TIMEOUT", 0.5)
    broker, other = opened(), opened(straight=True)
    broker.publish([message(queue)])
    (lease,) = broker.lease([queue], 1, 30.0)
    line.stall()
    with pytest.raises(Uncertain):
        broker.settle([Done(lease)])
    line.heal()
    assert broker.settle([Done(lease)]) == [Done(lease)]
    assert [one.message.key for one in other.lease([queue], 1, 30.0)] in ([], [lease.message.key])


def test_every_move_keeps_the_key(opened, line, queue, monkeypatch):
    """Delayed, handed back, held on, run out, given out after a cut: it stays one publication."""
    monkeypatch.setattr("penstock.brokers.amqp_queues.RIPE", 0.0)
    broker = opened("consumer_timeout=0.2")
    sent = message(queue)
    broker.publish([replace(sent, ready_at=broker._clock.wall() + 0.2)])
    (lease,) = wait_for(lambda: broker.lease([queue], 1, 30.0, wait=1.0))
    keys = [lease.message.key]
    broker.settle([Again(lease, lease.message)])
    (lease,) = broker.lease([queue], 1, 30.0)
    keys.append(lease.message.key)
    old = time.monotonic() + 0.1
    wait_for(lambda: time.monotonic() > old)  # half of what the server is said to allow
    (lease,) = broker.extend([lease], 0.05)
    keys.append(lease.message.key)
    (lease,) = wait_for(lambda: broker.lease([queue], 1, 30.0, wait=1.0))
    keys.append(lease.message.key)
    line.cut()
    (lease,) = wait_for(lambda: opened(straight=True).lease([queue], 1, 30.0, wait=1.0))
    assert {*keys, lease.message.key} == {sent.key}


def test_a_lease_ends_although_its_holder_does_nothing_more(opened, queue):
    holder, other = opened("heartbeat=2"), opened(straight=True)
    holder.publish([message(queue)])
    (lease,) = holder.lease([queue], 1, 0.1)
    (again,) = other.lease([queue], 1, 30.0, wait=20.0)
    assert (again.message.key, again.deaths) == (lease.message.key, 1)
    assert holder.settle([Done(lease)]) == [Done(lease)]


@pytest.fixture
def strict_queue(rabbit_server, rabbit_url, queue):
    """A quorum queue that drops what it has given out again twice."""
    connection = amqp.Connection(
        f"127.0.0.1:{rabbit_server.port}",
        userid=rabbit_server.USER,
        password=rabbit_server.PASSWORD,
    )
    connection.connect()
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1}
    connection.channel().queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
    connection.close()
    return queue


def test_a_delivery_limit_drops_nothing_however_often_holders_die(opened, line, strict_queue):
    opened(straight=True).publish([message(strict_queue)])
    for deaths in range(4):
        broker = opened()
        (lease,) = wait_for(lambda broker=broker: broker.lease([strict_queue], 1, 30.0, wait=1.0))
        assert lease.deaths == deaths
        line.cut()


def test_what_cannot_be_moved_is_kept_and_moved_later(opened, strict_queue, monkeypatch):
    """It is not rejected, which a delivery limit would count."""
    queue, holder, other = strict_queue, opened(), opened(straight=True)
    holder.publish([message(queue)])
    (lease,) = holder.lease([queue], 1, 0.01)
    out = holder.engine._out
    monkeypatch.setattr(out, "_connect", _refusing)
    out.submit(lambda _live: out._drop(OSError("cut"))).exception()
    wait_for(lambda: lease.until <= holder._clock.monotonic())
    for use in (holder.tend, lambda: holder.lease([queue], 1, 30.0), holder.tend):
        with pytest.raises(Unavailable):
            use()
    assert other.lease([queue], 1, 30.0) == []
    monkeypatch.undo()
    holder.tend()
    (again,) = other.lease([queue], 1, 30.0, wait=10.0)
    assert (again.message.key, again.deaths) == (lease.message.key, 1)


def _refusing(_epoch):
    raise Unavailable("the line is down")


@pytest.mark.parametrize("lives", [1, 2], ids=["the server lived on", "the server died, too"])
def test_a_death_is_told_from_one_of_the_server(rabbit_server, opened, line, queue, lives):
    """A classic queue's flag means both; what counts as a death of a holder buries in the end."""
    broker, other = opened(), opened(straight=True)
    broker.publish([message(queue)])
    (held,) = broker.lease([queue], 1, 30.0)
    assert (held.attempt, held.deaths) == (1, 0)
    if lives > 1:
        forget_the_life(rabbit_server)
    line.cut()
    (again,) = wait_for(lambda: other.lease([queue], 1, 30.0))
    assert (again.attempt, again.deaths) == (2, 2 - lives)


def forget_the_life(server):
    """As a kill does: the message that names it is in memory only."""
    login = {"userid": server.USER, "password": server.PASSWORD}
    with amqp.Connection(f"127.0.0.1:{server.port}", **login) as connection:
        channel = connection.channel()
        assert channel.queue_purge("penstock.boot") == 1
        channel.basic_publish(amqp.Message("another", delivery_mode=1), routing_key="penstock.boot")


def test_single_messages_are_taken_without_a_look_behind_each(opened, queue, monkeypatch):
    broker, client = opened(straight=True), opened(straight=True)
    looks = []
    get = amqp_claims._Claim._get
    monkeypatch.setattr(
        amqp_claims._Claim, "_get", lambda *words: looks.append(words) or get(*words)
    )
    ear = broker.listen([queue])
    looked = []
    for _ in range(9):
        client.publish([message(queue)])
        assert ear.wait(20)
        looks.clear()
        _, (lease,) = broker.settle_and_lease([], [queue], 100, 30.0)
        looked.append(bool(looks))
        broker.settle([Done(lease)])
    assert looked == [True] + [False] * 8, "the first window is narrow, for nobody knew of room"
    ear.close()


def test_who_gets_one_after_the_other_says_only_that_each_is_done(opened, queue, monkeypatch):
    broker, client = opened(straight=True), opened(straight=True)
    said = []
    send = amqp.Channel.send_method

    def note(channel, method, *args, **kwargs):
        if channel.connection is broker.engine._custody._live.connection:
            said.append(method)
        return send(channel, method, *args, **kwargs)

    ear = broker.listen([queue])
    assert broker.lease([queue], 100, 30.0) == []
    for begun in range(6):
        if begun == 2:  # its bells were hung up anew, behind the first
            monkeypatch.setattr(amqp.Channel, "send_method", note)
        client.publish([message(queue)])
        assert ear.wait(20)
        ear.clear()
        _, (lease,) = broker.settle_and_lease([], [queue], 100, 30.0)
        broker.settle_and_lease([Done(lease)], [], 0, 30.0)
    assert said == [amqp.spec.Basic.Ack] * 4
    ear.close()


def test_nobody_is_given_more_than_there_was_room_for(opened, queue):
    """Two who listen: what one has no room for, the other gets at once."""
    full, free, client = (opened(straight=True) for _ in range(3))
    ear = full.listen([queue])
    assert full.lease([queue], 2, 30.0) == []
    client.publish([message(queue)])
    assert ear.wait(20)
    assert len(full.settle_and_lease([], [queue], 2, 30.0)[1]) == 1
    client.publish([message(queue) for _ in range(5)])
    assert ear.wait(20)
    held = full.settle_and_lease([], [queue], 1, 30.0)[1]
    assert len(held) == 1
    found = []
    while len(found) < 4:  # five, and one of them is held
        found += free.lease([queue], 10, 30.0, wait=20.0)
    assert not {x.message.key for x in held} & {x.message.key for x in found}
    ear.close()


def test_what_lies_behind_the_one_that_rang_is_taken_all_the_same(opened, queue):
    broker, client = opened(straight=True), opened(straight=True)
    ear = broker.listen([queue])
    client.publish([message(queue)])
    assert ear.wait(20)
    _, first = broker.settle_and_lease([], [queue], 100, 30.0)
    client.publish([message(queue) for _ in range(20)])
    found = list(first)
    while len(found) < 21:
        assert ear.wait(20), "a message lies there, and nobody is told"
        found += broker.settle_and_lease([], [queue], 100, 30.0)[1]
    assert len({lease.message.key for lease in found}) == 21
    broker.settle([Done(lease) for lease in found])
    ear.close()
