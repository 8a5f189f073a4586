"""Delays on RabbitMQ: in queues that outlive a kill of the server, and how long `delay()` waits.

What takes long is done with FAULTS=full (`make faults`).
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import amqp
import pytest

from penstock import App
from penstock.brokers import amqp_delays
from penstock.brokers.amqp import AmqpBroker
from penstock.errors import Unavailable, Uncertain
from penstock.message import Message, new_id
from penstock.url import Url
from proxy import TO_CLIENT, Proxy
from rabbit_server import RabbitServer
from workers import wait_for

long = pytest.mark.skipif(
    os.environ.get("FAULTS") != "full", reason="takes long: FAULTS=full, as in make faults"
)
TIMEOUT = 1.5  # the setting publish_timeout
BOUND = TIMEOUT + 2.0  # what a busy machine may add


@pytest.fixture
def opened():
    brokers = []

    def open_one(url):
        brokers.append(AmqpBroker.from_url(Url.parse(url)))
        return brokers[-1]

    yield open_one
    for broker in brokers:
        broker.close()


def message(queue, ready_in=0.0):
    task_id = new_id()
    ready_at = time.time() + ready_in if ready_in else 0.0
    headers = {"task": "t", "id": task_id}
    return Message(id=task_id, queue=queue, headers=headers, body=b"[]", ready_at=ready_at)


@pytest.fixture
def channel(rabbit_server, rabbit_url):
    with connected(rabbit_server) as connection:
        yield connection.channel()


@contextmanager
def connected(server):
    connection = amqp.Connection(
        f"127.0.0.1:{server.port}", userid=server.USER, password=server.PASSWORD
    )
    connection.connect()
    try:
        yield connection
    finally:
        connection.collect()


def exists(connection, exchange):
    try:
        connection.channel().exchange_declare(exchange, "fanout", passive=True)
    except amqp.NotFound:
        return False
    return True


@pytest.fixture
def unmade(channel, monkeypatch):
    """A length of which there is no queue yet, nor any below."""
    monkeypatch.setattr(amqp_delays, "_STEPS", (70,))
    for ms in (70, 90):
        channel.exchange_delete(f"penstock.wait.{ms}")
    return 0.09


# --- queues ---------------------------------------------------------------------------------------


def test_nothing_is_put_into_a_queue_that_a_kill_of_the_server_would_empty(
    opened, rabbit_url, channel, unmade, monkeypatch
):
    """It waits where it is instead, which is not for long, and goes straight."""
    monkeypatch.setattr(amqp_delays, "RIPE", 3600.0)
    broker, queue = opened(rabbit_url), f"orders-{new_id()}"
    began = time.monotonic()
    broker.publish([message(queue, unmade)])
    assert time.monotonic() - began >= unmade
    assert not exists(channel.connection, "penstock.wait.90")
    assert len(broker.lease([queue], 1, 30.0, wait=5.0)) == 1


def test_with_none_for_so_long_a_delay_nothing_is_sent(
    opened, rabbit_url, channel, unmade, monkeypatch
):
    monkeypatch.setattr(amqp_delays, "RIPE", 3600.0)
    monkeypatch.setattr(amqp_delays, "rung", lambda _: 90)
    monkeypatch.setattr("penstock.brokers.amqp_moves.rung", lambda _: 70_000_000)
    channel.exchange_delete("penstock.wait.70000000")
    broker, queue = opened(rabbit_url), f"orders-{new_id()}"
    with pytest.raises(Unavailable, match=r"no queues for delays yet.*nothing was sent"):
        broker.publish_in([message(queue, 70_000.0)], 0.3)
    assert broker.depth(queue) == 0


def test_one_makes_a_queue_and_others_use_it(opened, rabbit_url, channel, unmade, monkeypatch):
    monkeypatch.setattr(amqp_delays, "RIPE", 0.02)
    brokers, queue = [opened(rabbit_url) for _ in range(4)], f"orders-{new_id()}"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda broker: broker.publish([message(queue, unmade)]), brokers))
    for broker in brokers:
        broker.publish([message(queue, unmade)])
    assert exists(channel.connection, "penstock.wait.90")
    leases = []
    wait_for(lambda: leases.extend(brokers[0].lease([queue], 10, 30.0, wait=1.0)) or leases[7:])
    assert len(leases) == 8  # and not one for each queue that somebody had begun to make
    assert brokers[0].lease([queue], 10, 30.0, wait=0.3) == []


def test_a_length_whose_queue_was_deleted_is_made_anew(
    opened, rabbit_url, channel, unmade, monkeypatch
):
    monkeypatch.setattr(amqp_delays, "RIPE", 0.02)
    made = []
    declare = amqp_delays.Queues.declare_leading_on

    def noted(queues, name, ms, **options):
        made.append(name)
        declare(queues, name, ms, **options)

    monkeypatch.setattr(amqp_delays.Queues, "declare_leading_on", noted)
    broker, queue = opened(rabbit_url), f"orders-{new_id()}"
    wait_for(lambda: broker.publish([message(queue, unmade)]) or exists_for(channel, 90))
    for name in made:
        channel.queue_delete(name)
    before, sent = len(made), []

    def send():
        sent.append(message(queue, unmade))
        broker.publish(sent[-1:])

    wait_for(lambda: send() or len(made) > before)
    found = set()
    wait_for(
        lambda: (
            found.update(x.message.id for x in broker.lease([queue], 99, 30.0, wait=1.0))
            or found.issuperset(one.id for one in sent)
        )
    )


def exists_for(channel, ms):
    return exists(channel.connection, f"penstock.wait.{ms}")


# --- how long it waits ----------------------------------------------------------------------------


@pytest.fixture
def line(rabbit_server, rabbit_url):
    with Proxy(rabbit_server.port) as proxy:
        yield proxy
        proxy.heal()


@pytest.fixture(params=["memory://", "rpc://"])
def add(request, rabbit_server, rabbit_url, line):
    """With ``rpc://`` the first call has an address made for its results."""
    url = rabbit_url.replace(f":{rabbit_server.port}/", f":{line.port}/")
    app = App("shop", broker=url, backend=request.param, publish_timeout=TIMEOUT)
    add = app.task(name="shop.add")(lambda x, y: x + y)
    yield add
    line.heal()
    app.close()


def raised_in(call):
    began = time.monotonic()
    with pytest.raises((Unavailable, Uncertain)) as caught:
        call()
    return caught.value, time.monotonic() - began


def test_a_server_that_goes_silent_holds_up_a_call_for_publish_timeout(add, line):
    add.delay(1, 1)
    line.stall(TO_CLIENT)
    error, seconds = raised_in(lambda: add.delay(2, 2))
    assert isinstance(error, Uncertain)  # it is there, and nobody has said so
    assert "has not confirmed within" in str(error)
    assert seconds < BOUND


def test_a_server_that_greets_nobody_holds_up_a_call_for_publish_timeout(add, line):
    line.stall()
    error, seconds = raised_in(lambda: add.delay(2, 2))
    assert isinstance(error, Unavailable)
    assert "nothing was sent" in str(error)
    assert seconds < BOUND


@pytest.mark.parametrize("calls_before", [0, 1])
def test_who_waits_behind_others_waits_no_longer(add, line, calls_before):
    for _ in range(calls_before):
        add.delay(1, 1)
    line.stall()
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(raised_in, lambda: add.delay(2, 2)) for _ in range(8)]
        seen = [call.result() for call in calls]
    assert max(seconds for _, seconds in seen) < BOUND
    assert {type(error) for error, _ in seen} <= {Unavailable, Uncertain}


def test_an_awaited_call_is_held_up_no_longer(add, line):
    import asyncio

    add.delay(1, 1)
    line.stall(TO_CLIENT)
    error, seconds = raised_in(lambda: asyncio.run(add.adelay(2, 2)))
    assert isinstance(error, Uncertain)
    assert seconds < BOUND


# --- killed ---------------------------------------------------------------------------------------


@long
def test_a_delayed_message_outlives_a_kill_right_after_it_was_stored():
    """The server knows a new quorum queue by memory only: so it was not new any more."""
    with RabbitServer() as server:
        app = App("shop", broker=server.url(), backend="memory://", publish_timeout=10.0)
        add = app.task(name="shop.add", ignore_result=True)(lambda x, y: x + y)
        sent = add.apply_async((1, 1), countdown=4.0)
        server.kill()
        server.start()
        began = time.monotonic()
        later = [add.apply_async((n, n), countdown=4.0) for n in range(3)]
        assert time.monotonic() - began < 5.0
        found = set()
        wait_for(
            lambda: (
                found.update(
                    lease.message.id for lease in app.broker.lease(["celery"], 9, 60.0, wait=1.0)
                )
                or len(found) == 4
            ),
            timeout=30.0,
        )
        assert found == {sent.id, *(result.id for result in later)}
        app.close()


@long
def test_a_server_killed_while_queues_are_new_delays_again_soon(opened):
    with RabbitServer() as server:
        broker = opened(server.url())
        with ThreadPoolExecutor(1) as pool, connected(server) as connection:
            first = pool.submit(broker.publish_in, [message("orders", 40.0)], 4.0)
            wait_for(lambda: has_lock(connection, 40_000))
            server.kill()
            assert isinstance(first.exception(), Unavailable)
        server.start()
        began = time.monotonic()
        wait_for(lambda: broker.publish_in([message("orders", 40.0)], 8.0) is None, timeout=10.0)
        assert time.monotonic() - began < 8.0


def has_lock(connection, ms):
    try:
        connection.channel().queue_declare(f"penstock.making.{ms}", passive=True)
    except amqp.ResourceLocked:
        return True
    except amqp.NotFound:
        return False
    return False


@long
def test_a_queue_that_has_lost_its_leader_is_named_in_time():
    with RabbitServer() as server:
        with connected(server) as connection:
            connection.channel().queue_declare(
                "celery", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
            )
        server.kill()
        server.start()
        app = App("shop", broker=server.url(), backend="memory://", publish_timeout=TIMEOUT)
        add = app.task(name="shop.add", ignore_result=True)(lambda x, y: x + y)
        error, seconds = raised_in(lambda: add.delay(1, 1))
        assert isinstance(error, Uncertain)
        assert "lost its leader" in str(error)
        assert seconds < BOUND
        app.close()
