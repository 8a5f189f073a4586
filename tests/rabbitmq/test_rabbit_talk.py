"""Notes on RabbitMQ: who hears them, and that nobody stays deaf."""

import amqp
import pytest

from penstock.brokers.amqp import AmqpBroker
from penstock.brokers.talk import address_of
from penstock.control.asking import ask
from penstock.errors import BrokerError, Unavailable
from penstock.url import Url
from penstock.wire.control import ANSWERS, REQUESTS, Address, Request, answer_note, request_note
from penstock.wire.events import EVENTS, event_notes
from penstock.wire.note import Note
from rabbit_server import RabbitServer
from workers import wait_for

PING = request_note(Request(method="ping"))


@pytest.fixture
def broker(rabbit_url):
    broker = AmqpBroker.from_url(Url.parse(rabbit_url))
    yield broker
    broker.close()


@pytest.fixture
def channel(rabbit_server, rabbit_url):
    """What a stranger does."""
    connection = amqp.Connection(
        f"127.0.0.1:{rabbit_server.port}",
        userid=rabbit_server.USER,
        password=rabbit_server.PASSWORD,
    )
    connection.connect()
    channel = connection.channel()
    yield channel
    for exchange in (REQUESTS, ANSWERS, EVENTS):
        channel.exchange_delete(exchange)
    connection.close()


def heard(ear):
    """What comes next."""
    notes = []
    while not notes:
        assert ear.wait(10.0), "nothing was heard"
        ear.clear()
        notes = ear.take()
    return notes


def test_whoever_listens_hears_a_request(broker):
    one, other = broker.talk.requests("one@h"), broker.talk.requests("other@h")
    assert broker.talk.ask(PING) is None
    for ear in (one, other):
        assert [note.body for note in heard(ear)] == [PING.body]
        ear.close()


def test_where_nobody_listens_a_question_ends_at_once(broker):
    assert broker.talk.ask(PING) == 0
    assert ask(broker.talk, Request(method="ping"), timeout=60.0) == {}
    broker.talk.requests("w@h").close()
    wait_for(lambda: broker.talk.ask(PING) == 0, what="an ear that is gone")


def test_an_answer_goes_to_its_address(broker):
    mine, other = address_of(), address_of()
    box, others = broker.talk.box(mine), broker.talk.box(other)
    request = Request(method="ping", ticket="t", reply_to=Address(ANSWERS, mine))
    broker.talk.say([answer_note(request, "w@h", {"ok": "pong"}, clock=3)])
    (note,) = heard(box)
    assert (note.headers["ticket"], note.headers["clock"]) == ("t", 3)
    assert others.take() == []
    box.close()
    others.close()


def test_an_answer_to_an_exchange_that_is_not_there_takes_nothing_along(broker):
    ear = broker.talk.watch()
    stray = Request(method="ping", ticket="t", reply_to=Address("no.such.exchange", "x"))
    events = event_notes([{"type": "worker-online"}], hostname="w@h")
    broker.talk.say([answer_note(stray, "w@h", {}, clock=1), *events])
    assert [note.routing_key for note in heard(ear)] == ["worker.online"]
    ear.close()


def test_an_exchange_is_taken_as_it_is(broker, channel):
    channel.exchange_delete(EVENTS)
    channel.exchange_declare(EVENTS, "fanout", durable=False, auto_delete=False)
    ear = broker.talk.watch()
    broker.talk.say(event_notes([{"type": "worker-online"}], hostname="w@h"))
    assert len(heard(ear)) == 1
    ear.close()


def test_an_exchange_that_somebody_deletes_is_made_again(broker, channel):
    broker.talk.requests("w@h").close()
    broker.talk.ask(PING)
    channel.exchange_delete(REQUESTS)
    assert broker.talk.ask(PING) == 0
    ear = broker.talk.requests("w@h")
    assert broker.talk.ask(PING) is None
    heard(ear)
    ear.close()


def test_events_are_told_again_once_their_exchange_is_found_missing(broker, channel):
    events = event_notes([{"type": "worker-online"}], hostname="w@h")
    broker.talk.say(events)
    channel.exchange_delete(EVENTS)
    with pytest.raises(BrokerError, match="no exchange"):  # which Celery's would not make again
        broker.talk.say(events)
    ear = broker.talk.watch()
    broker.talk.say(events)
    heard(ear)
    ear.close()


def test_what_is_no_json_is_not_heard(broker, channel):
    ear = broker.talk.requests("w@h")
    pickled = amqp.Message(b"x", content_type="application/x-python-serialize")
    channel.basic_publish(pickled, REQUESTS)
    broker.talk.ask(PING)
    assert [note.body for note in heard(ear)] == [PING.body]
    ear.close()


def test_after_a_restart_of_the_server_all_hear_again():
    with RabbitServer() as server:
        broker = AmqpBroker.from_url(Url.parse(server.url()))
        ear = broker.talk.requests("w@h")
        server.kill()
        with pytest.raises(Unavailable):
            broker.talk.ask(PING)
        assert ear.take() == []  # and never blocks
        server.start()

        def said_and_heard():
            broker.talk.ask(PING)
            return ear.wait(0.2) and ear.take()

        assert wait_for(said_and_heard, what="an ear that hears again")
        broker.close()


def test_a_large_note_and_odd_headers_arrive(broker):
    ear = broker.talk.watch()
    note = Note(
        exchange=EVENTS, routing_key="x", headers={"hostname": "zoë", "n": 1}, body=b"[" * 300_000
    )
    broker.talk.say([note])
    assert heard(ear)[0].body == note.body
    ear.close()
