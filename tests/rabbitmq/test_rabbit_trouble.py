"""A RabbitMQ server that refuses, is full, restarts, or waits for no acknowledgement so long: who
says what, and what goes on meanwhile. What takes long is done with FAULTS=full (`make faults`).
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import amqp
import pytest

from penstock.brokers.amqp import AmqpBroker
from penstock.errors import ConfigError, EncodeError, Unavailable, Uncertain
from penstock.message import Again, Done, Message, new_id
from penstock.url import Url
from proxy import TO_SERVER, Proxy
from rabbit_server import RabbitServer
from servers import certificate
from workers import Bench, wait_for

long = pytest.mark.skipif(
    os.environ.get("FAULTS") != "full", reason="takes long: FAULTS=full, as in make faults"
)
LIMIT = 100_000  # bytes of a message
TIMEOUT = 10.0  # seconds that the server waits for an acknowledgement
SETTINGS = {"max_message_size": LIMIT, "consumer_timeout": int(TIMEOUT * 1000)}


@pytest.fixture(scope="module")
def server():
    with RabbitServer(tls=True, settings=SETTINGS) as server:
        yield server


@pytest.fixture
def url(server):
    server.ensure()
    return server.url()


@pytest.fixture
def opened():
    brokers = []

    def open_one(url):
        brokers.append(AmqpBroker.from_url(Url.parse(url)))
        return brokers[-1]

    yield open_one
    for broker in brokers:
        broker.close()


@pytest.fixture
def bench(tmp_path, monkeypatch, url, redis_url):
    monkeypatch.chdir(tmp_path)
    bench = Bench(tmp_path)
    monkeypatch.setenv("PENSTOCK_BROKER_URL", url)
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", redis_url)
    yield bench
    for worker in bench.workers:
        worker.kill()
    if bench.app is not None:
        bench.app.close()


def message(queue="orders", body=b"[]", **fields):
    task_id = new_id()
    headers = {"task": "t", "id": task_id}
    return Message(id=task_id, queue=queue, headers=headers, body=body, **fields)


# --- whom it lets in ----------------------------------------------------------------------------


def test_a_wrong_password_is_named_and_not_shown(server, url, opened):
    broker = opened(server.url(password="not@this/one"))
    with pytest.raises(ConfigError, match="user name or password is wrong") as caught:
        broker.publish([message()])
    assert "not@this" not in str(caught.value)
    assert "not%40this" not in str(caught.value)


def test_a_virtual_host_that_is_not_there_is_named(server, url, opened):
    with pytest.raises(ConfigError, match="name a virtual host that exists") as caught:
        opened(server.url("nowhere")).publish([message()])
    assert "nowhere" in str(caught.value)


def test_what_the_user_may_not_is_named(server, url, opened):
    server.ctl("add_vhost", "narrow")
    server.ctl("set_permissions", "-p", "narrow", server.USER, "^mine", "^mine", "^mine")
    with pytest.raises(ConfigError, match="set_permissions"):
        opened(server.url("narrow")).publish([message()])


def test_it_speaks_tls_with_who_has_the_authority_s_name(server, url, opened):
    broker, queue = opened(server.tls_url()), f"orders-{new_id()}"
    broker.publish([message(queue)])
    (lease,) = broker.lease([queue], 1, 10.0)
    assert broker.settle([Done(lease)]) == []


def test_another_authority_s_certificate_is_refused(server, url, opened, tmp_path):
    stranger, _ = certificate(tmp_path)
    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        opened(server.tls_url(stranger)).publish([message()])


# --- what it takes ------------------------------------------------------------------------------


def test_a_queue_that_exists_is_taken_as_it_is(server, url, opened):
    connection = amqp.Connection(
        f"127.0.0.1:{server.port}", userid=server.USER, password=server.PASSWORD
    )
    connection.connect()
    arguments = {"x-max-priority": 10, "x-message-ttl": 600_000}
    queue = f"orders-{new_id()}"
    connection.channel().queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
    connection.close()
    broker = opened(url)
    broker.publish([message(queue)])
    (lease,) = broker.lease([queue], 1, 10.0)
    assert broker.settle([Done(lease)]) == []


def test_a_message_that_is_too_large_takes_nothing_along(url, opened):
    broker, queue = opened(url), f"orders-{new_id()}"
    small, large = message(queue), message(queue, b"x" * (LIMIT + 1))
    with pytest.raises(EncodeError, match="max_message_size"):
        broker.publish([large])
    with pytest.raises(Uncertain, match="max_message_size"):
        broker.publish([small, large])
    broker.publish([message(queue)])  # and it goes on
    leases = broker.lease([queue], 10, 10.0)
    assert large.id not in {lease.message.id for lease in leases}
    assert broker.settle([Done(lease) for lease in leases]) == []


# --- full ---------------------------------------------------------------------------------------


ALARMS = {
    "memory": ("set_vm_memory_high_watermark", "0.000001", "0.6"),
    "disk": ("set_disk_free_limit", "9000GB", "50MB"),
}


@long
@pytest.mark.parametrize("what", ALARMS)
def test_a_server_that_is_full_holds_up_who_sends_and_nobody_else(
    rabbit_server, rabbit_url, bench, monkeypatch, what
):
    def alarm(server, *, on):
        command, much, little = ALARMS[what]
        server.ctl(command, much if on else little)

    monkeypatch.setenv("PENSTOCK_BROKER_URL", rabbit_url)
    tasks = bench.tasks(
        """
        app.conf.update(publish_timeout=3.0)

        @app.task
        def wait():
            note("waits")
            until("gate")
            return "waited"
        """
    )
    open_gate = bench.gate()
    worker = bench.worker("-c", "1")
    waiting = tasks.wait.delay()
    bench.noted("waits")
    alarm(rabbit_server, on=True)
    try:
        open_gate()  # what runs is finished, stored and acknowledged meanwhile
        assert waiting.get(timeout=20) == "waited"
        with pytest.raises(
            Uncertain, match="its memory or disk alarm is on"
        ):  # it says so only to who sends
            tasks.add.delay(1, 1)
        with pytest.raises(Unavailable, match="its memory or disk alarm is on"):
            tasks.app.broker.publish([message()])
        with pytest.raises(Unavailable, match="nothing was sent"):
            tasks.add.delay(2, 2)
        tasks.app.conf.update(publish_timeout=60.0)
        with ThreadPoolExecutor(1) as pool:
            later = pool.submit(tasks.add.delay, 3, 3)
            alarm(rabbit_server, on=False)
            assert later.result(30).get(timeout=20) == 6
    finally:
        alarm(rabbit_server, on=False)
    assert worker.stop() == 0


# --- slow ---------------------------------------------------------------------------------------


@long
def test_a_task_may_run_longer_than_the_server_waits(bench, url, monkeypatch):
    monkeypatch.setenv("PENSTOCK_BROKER_URL", f"{url}?consumer_timeout={TIMEOUT:g}")
    tasks = bench.tasks(
        """
        app.conf.update(lease_time=1.5)

        @app.task(bind=True)
        def long(self):
            note(f"began {self.request.attempt}")
            until("gate")
            return self.request.attempt
        """
    )
    open_gate = bench.gate()
    worker = bench.worker("-c", "2")
    result = tasks.long.delay()
    bench.noted("began 1")
    threading.Event().wait(2.4 * TIMEOUT)  # the time itself is what it is about
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    open_gate()
    assert result.get(timeout=20) == 1
    assert worker.stop() == 0
    assert bench.journal() == ["began 1"]
    assert "lost" not in worker.text


# --- away ---------------------------------------------------------------------------------------


def test_an_acknowledgement_that_was_lost_runs_nothing_twice(
    rabbit_server, rabbit_url, bench, monkeypatch
):
    with Proxy(rabbit_server.port) as line:
        url = rabbit_url.replace(f":{rabbit_server.port}/", f":{line.port}/")
        monkeypatch.setenv("PENSTOCK_BROKER_URL", url)
        tasks = bench.tasks(
            """
            @app.task
            def once():
                note("began")
                until("gate")
            """
        )
        open_gate = bench.gate()
        worker = bench.worker("-c", "1")
        result = tasks.once.delay()
        bench.noted("began")
        line.swallow(TO_SERVER)
        open_gate()
        result.get(timeout=20)  # it is stored, and what acknowledges it goes nowhere
        line.cut()
        line.heal()
        worker.line("has ended before, but its acknowledgement was lost", 30.0)
        assert worker.stop() == 0
        assert bench.journal() == ["began"]


SOON = 3.0  # seconds from where the server accepts connections
ELECTED = 10.0  # the same from where a node of three died: its queues have to find a new leader


@long
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_after_the_server_was_away_a_worker_goes_on_soon_and_nothing_is_lost(
    bench, monkeypatch, how
):
    """Most of what it had acknowledged comes again, and is known: that takes no second a batch."""
    with RabbitServer() as server:
        monkeypatch.setenv("PENSTOCK_BROKER_URL", server.url())
        tasks = bench.tasks(
            """
            app.conf.update(publish_timeout=30.0)

            @app.task
            def work(n):
                note(str(time.monotonic()))
                return 2 * n
            """
        )
        worker = bench.worker("-c", "2")
        results = tasks.work.send_many([(n,) for n in range(3000)])
        results[200].get(timeout=20)
        getattr(server, how)()
        began = len(bench.journal())
        server.start()
        back = time.monotonic()
        assert [result.get(timeout=60) for result in results] == [2 * n for n in range(3000)]
        ran = [float(line) for line in bench.journal()]
        assert len(ran) > began, "all had run before: nothing is measured"
        assert min(moment for moment in ran if moment > back) < back + SOON
        assert tasks.add.delay(1, 1).get(timeout=20) == 2
        assert worker.stop() == 0


@long
def test_a_server_that_is_killed_again_and_again_buries_nothing(opened):
    """Its classic queues say of all that they hold that it was given out before."""
    with RabbitServer() as server:
        broker = opened(server.url())
        sent = message()
        broker.publish([sent])
        for _ in range(4):
            server.kill()
            server.start()
            (lease,) = wait_for(lambda: leased(broker), timeout=30)
            assert (lease.message.id, lease.deaths) == (sent.id, 0)
            with suppress(Unavailable, Uncertain):
                broker.settle([Again(lease, lease.message)])  # handed back, and it waits again
        assert broker.settle([Done(wait_for(lambda: leased(broker), timeout=30)[0])]) == []


def leased(broker):
    try:
        broker.tend()
        return broker.lease(["orders"], 1, 30.0)
    except (Unavailable, Uncertain):  # its line broke with the server
        return None


# --- several servers ----------------------------------------------------------------------------


def test_the_next_server_of_an_address_is_used_where_one_is_away(rabbit_server, rabbit_url, opened):
    """In Celery's way of writing it, too; and again where the one that was there goes."""
    login, _, place = rabbit_url.removeprefix("amqp://").rpartition("@")
    with Proxy(rabbit_server.port) as first:
        for there in (f"127.0.0.1:{first.port}", place.split("/")[0]):
            queue = f"orders-{new_id()}"
            vhost = place.partition("/")[2]
            several = f"amqp://{login}@127.0.0.1:1;amqp://{login}@{there}/{vhost}"
            broker = opened(several)
            broker.publish([message(queue)])
            assert len(broker.lease([queue], 1, 10.0)) == 1
        broker = opened(
            f"amqp://{login}@127.0.0.1:{first.port},127.0.0.1:{rabbit_server.port}/{vhost}"
        )
        broker.publish([message(queue)])
        first.refuse()
        first.cut()
        wait_for(lambda: published(broker, queue), timeout=10)
    with pytest.raises(Unavailable, match="cannot be reached"):
        opened("amqp://127.0.0.1:1,127.0.0.1:2/").publish([message(queue)])


def published(broker, queue):
    try:
        broker.publish([message(queue)])
    except (Unavailable, Uncertain):
        return False
    return True


@long
def test_a_node_of_a_cluster_that_dies_takes_nothing_along(bench, monkeypatch):
    """Quorum queues on three nodes; everybody is connected to the one that is killed."""
    with ExitStack() as stack:
        first = stack.enter_context(RabbitServer())
        others = [stack.enter_context(RabbitServer(beside=first)) for _ in range(2)]
        for other in others:
            other.join(first)
        nodes = ",".join(f"127.0.0.1:{node.port}" for node in (*others, first))
        url = first.url().replace(f"127.0.0.1:{first.port}", nodes)
        monkeypatch.setenv("PENSTOCK_BROKER_URL", url)
        tasks = bench.tasks(
            """
            app.conf.update(publish_timeout=30.0, task_default_queue_type="quorum")

            @app.task
            def work(n):
                note(str(time.monotonic()))
                return 2 * n
            """
        )
        worker = bench.worker("-c", "2")
        results = tasks.work.send_many([(n,) for n in range(2000)])
        results[200].get(timeout=30)
        others[0].kill()
        dead = time.monotonic()
        assert [result.get(timeout=60) for result in results] == [2 * n for n in range(2000)]
        ran = [float(line) for line in bench.journal()]
        assert min(moment for moment in ran if moment > dead + 0.5) < dead + ELECTED
        assert tasks.add.delay(1, 1).get(timeout=20) == 2
        assert worker.stop() == 0
