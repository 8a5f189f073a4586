"""Results as messages: whom they reach, and what is said where they cannot."""

import asyncio
import json
import os
import threading

import amqp
import pytest

from penstock import App
from penstock.errors import ConfigError, ResultTimeout
from penstock.message import Record
from penstock.results.registry import open_store
from penstock.results.rpc import RpcStore
from penstock.url import Url
from rabbit_server import RabbitServer
from workers import wait_for


@pytest.fixture
def url(rabbit_url):
    return rabbit_url


@pytest.fixture
def sender(url):
    store = RpcStore.from_url(Url.parse(url))
    yield store
    store.close()


@pytest.fixture
def worker(url):
    store = RpcStore.from_url(Url.parse(url))
    yield store
    store.close()


def record(address, task_id="t1", state="SUCCESS", value=5):
    document = json.dumps({"status": state, "result": value, "task_id": task_id}).encode()
    final = state in {"SUCCESS", "FAILURE", "REVOKED"}
    return Record(task_id, state, document, final=final, reply_to=address)


def test_a_result_wakes_whoever_waits(sender, worker):
    address = sender.reply_address()
    threading.Timer(0.1, worker.put, ([record(address)],)).start()
    (found,) = sender.wait(["t1"], 10.0)
    assert (found.id, found.state, found.final) == ("t1", "SUCCESS", True)
    assert json.loads(found.document)["result"] == 5
    assert sender.get(["t1"])[0] == found


def test_awaiting_waiters_are_woken(sender, worker):
    address = sender.reply_address()

    async def both():
        waits = asyncio.gather(*[sender.await_([f"t{n}"], 10.0) for n in range(20)])
        await asyncio.sleep(0)
        await worker.aput([record(address, f"t{n}", value=n) for n in range(20)])
        return await waits

    found = asyncio.run(both())
    assert [json.loads(one.document)["result"] for (one,) in found] == list(range(20))


def test_states_on_the_way_are_seen_and_the_end_stays(sender, worker):
    address = sender.reply_address()
    worker.put([record(address, state="STARTED"), record(address)])
    sender.wait(["t1"], 10.0)
    worker.put([record(address, state="RETRY"), record(address, "t2")])
    sender.wait(["t2"], 10.0)
    assert sender.get(["t1"])[0].state == "SUCCESS"


def test_of_what_others_sent_nothing_is_known(sender, worker):
    address = sender.reply_address()
    other = RpcStore(engine=sender.engine)
    worker.put([record(address)])
    sender.wait(["t1"], 10.0)
    assert other.get(["t1"]) == [None]
    assert other.wait(["t1"], 0.05) == [None]


def test_where_nobody_waits_any_more_a_result_is_dropped(worker, sender):
    worker.put([record("no-such-queue"), record(sender.reply_address(), "t2")])
    assert sender.wait(["t2"], 10.0)[0].final


def test_what_is_no_result_changes_nothing(sender, worker, rabbit_server):
    address = sender.reply_address()
    connection = amqp.Connection(
        f"127.0.0.1:{rabbit_server.port}",
        userid=rabbit_server.USER,
        password=rabbit_server.PASSWORD,
    )
    connection.connect()
    for body in (b"", b"\xff\xfe", b"[" * 100_000, b'{"status": 5}', b'["SUCCESS"]'):
        connection.channel().basic_publish(amqp.Message(body, correlation_id="t1"), "", address)
    connection.close()
    worker.put([record(address, value=float("nan"))])
    assert b"NaN" in sender.wait(["t1"], 10.0)[0].document


def test_what_is_forgotten_is_gone(sender, worker):
    worker.put([record(sender.reply_address())])
    sender.wait(["t1"], 10.0)
    sender.forget(["t1"])
    assert sender.get(["t1"]) == [None]


def test_a_client_that_revokes_sees_it_itself(sender):
    sender.put([record("", state="REVOKED")])
    assert sender.get(["t1"])[0].state == "REVOKED"


def test_a_fork_is_another_sender(sender, worker):
    address = sender.reply_address()
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, sender.reply_address().encode())
        (found,) = sender.wait(["t1"], 10.0)
        os._exit(0 if found.final else 1)
    other = os.read(ours, 100).decode()
    assert other != address
    worker.put([record(other), record(address, "t2")])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sender.wait(["t2"], 10.0)
    assert sender.get(["t1"]) == [None]
    os.close(ours)
    os.close(theirs)


def test_its_queue_goes_with_its_owner(url, rabbit_server):
    store = RpcStore.from_url(Url.parse(url))
    address = store.reply_address()
    listed = ("list_queues", "name", "--no-table-headers")
    assert address in rabbit_server.ctl(*listed).splitlines()
    store.close()
    assert address not in rabbit_server.ctl(*listed).splitlines()


def test_after_a_restart_of_the_server_results_come_again():
    with RabbitServer() as server:
        sender = RpcStore.from_url(Url.parse(server.url()))
        worker = RpcStore.from_url(Url.parse(server.url()))
        address = sender.reply_address()
        server.kill()
        server.start()

        def arrived():
            worker.put([record(address)])
            return sender.wait(["t1"], 0.2)[0]

        assert wait_for(arrived, what="a result").final
        sender.close()
        worker.close()


def test_groups_are_refused(sender):
    with pytest.raises(ConfigError, match="rpc://"):
        sender.arrive("g", "m", 2)


def test_it_needs_a_broker_that_carries_messages():
    with pytest.raises(ConfigError, match="RabbitMQ"):
        open_store("rpc://", broker="redis://localhost")
    with pytest.raises(ConfigError, match="broker"):
        open_store("rpc://")


def test_delay_waits_for_a_server_that_is_away(rabbit_url):
    """With the same patience as without results, and then says that nothing was sent."""
    app = App("tasks", broker="amqp://localhost:1", backend="rpc://", publish_timeout=0.2)

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with pytest.raises(ConnectionError, match="cannot be reached"):
        add.delay(1, 2)
    app.conf.update(broker_url=rabbit_url)
    app.close()
    result = add.delay(1, 2)
    with pytest.raises(ResultTimeout):
        result.get(timeout=0.05)
    app.broker.purge("celery")
    app.close()
