"""Where a server is, who may use it, and what it says when it may not be used."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from penstock.brokers.postgres import PostgresBroker
from penstock.brokers.registry import open_broker
from penstock.clock import SYSTEM_CLOCK
from penstock.errors import BrokerError, ConfigError, Unavailable, Uncertain
from penstock.message import Done, Message, Record, new_id
from penstock.results.registry import open_store
from penstock.tasks.publish import publish
from postgres_server import PostgresServer
from proxy import Proxy
from workers import wait_for


def message(queue="orders", **fields):
    task_id = fields.pop("id", None) or new_id()
    return Message(id=task_id, queue=queue, headers={"task": "t"}, **({"body": b"[]"} | fields))


def once_around(url):
    broker = open_broker(url)
    try:
        broker.publish([message()])
        (lease,) = broker.lease(["orders"], 5, 10.0)
        assert broker.settle([Done(lease)]) == []
    finally:
        broker.close()


def refusal(url, kind):
    broker = open_broker(url)
    with pytest.raises(kind) as caught:
        broker.publish([message()])
    broker.close()
    assert PostgresServer.PASSWORD not in str(caught.value)
    assert PostgresServer.PASSWORD not in repr(broker)
    return str(caught.value)


@pytest.fixture
def broker(postgres_url):
    broker = open_broker(postgres_url)
    yield broker
    broker.close()


def test_a_socket(postgres_server, postgres_url):
    once_around(postgres_server.unix_url() + "&schema=by_socket")


def test_the_short_scheme_and_the_clients_own_options(postgres_url):
    once_around(postgres_url.replace("postgresql:", "postgres:") + "&connect_timeout=3&pool_size=2")


def test_a_schema_whose_name_must_be_quoted(postgres_server):
    postgres_server.ensure()
    once_around(postgres_server.url(schema='Ünd "so"').replace(" ", "%20").replace('"', "%22"))


def test_no_server():
    assert "cannot be reached" in refusal("postgresql://u:pw@127.0.0.1:1/x", Unavailable)


def test_a_wrong_password(postgres_server):
    postgres_server.ensure()
    assert "password is wrong" in refusal(postgres_server.url(password="no"), ConfigError)


def test_a_wrong_user(postgres_server):
    postgres_server.ensure()
    assert "user name" in refusal(postgres_server.url(user="nobody"), ConfigError)


def test_a_wrong_database(postgres_server):
    postgres_server.ensure()
    assert "no such database" in refusal(postgres_server.url(database="nowhere"), ConfigError)


def test_a_wrong_option(postgres_server):
    assert "cannot be used" in refusal(postgres_server.url() + "?no_such=1", ConfigError)


@pytest.mark.parametrize("size", ["0", "many", "-1"])
def test_a_wrong_size(postgres_server, size):
    with pytest.raises(ConfigError, match="pool_size"):
        open_broker(f"{postgres_server.url()}?pool_size={size}")


def test_no_connection_left():
    with PostgresServer(
        settings={"max_connections": "4", "superuser_reserved_connections": "0"}
    ) as server:
        first = open_broker(server.url())
        first.publish([message()])
        with contextlib.ExitStack() as others:
            for _ in range(3):
                others.enter_context(psycopg.connect(server.url()))
            assert "max_connections" in refusal(server.url() + "?schema=x", Unavailable)
        first.close()


def test_a_message_larger_than_the_server_takes(broker):
    # A gigabyte would do; what an index cannot hold is as wrong, and is had for less.
    long_queue = os.urandom(40_000).hex()
    with pytest.raises(BrokerError, match="larger than the server takes"):
        broker.publish([message(queue=long_queue)])
    broker.publish([message()])
    assert broker.depth("orders") == 1


def test_a_body_of_sixty_megabytes(broker):
    body = os.urandom(1 << 20) * 60
    broker.publish([message(body=body)])
    (lease,) = broker.lease(["orders"], 1, 10.0)
    assert lease.message.body == body


def test_texts_that_a_database_does_not_take(broker, postgres_url):
    store = open_store(postgres_url)
    odd = "a\x00b\ud800"
    broker.publish([message(id=odd, queue=odd)] * 300)
    (lease,) = broker.lease([odd], 1, 10.0)
    record = Record(odd, "SUCC\x00ESS", b"{}", key=lease.message.key, attempt=1, final=True)
    assert broker.settle([Done(lease, record)]) == []
    (found,) = store.wait([odd], 10.0)
    assert found is not None
    assert found.document == b"{}"
    store.close()


def test_a_row_that_somebody_wrote_wrong_stops_nobody(broker, postgres_server, postgres_url):
    broker.publish([message(), message()])
    table = f"{postgres_url.rpartition('=')[2]}.message"
    postgres_server.sql(f"UPDATE {table} SET headers = '{{' WHERE seq = 1")
    wrong, right = broker.lease(["orders"], 5, 10.0)
    assert dict(right.message.headers) == {"task": "t"}
    assert "task" not in wrong.message.headers


def test_what_it_promises(postgres_server, postgres_url):
    broker = open_broker(postgres_url)
    assert "fsync = off" in broker.durability()
    broker.close()
    relaxed = PostgresServer(settings={"fsync": "on", "synchronous_commit": "off"})
    with relaxed as server:
        broker = open_broker(server.url())
        assert "last half second" in broker.durability()
        broker.close()


def test_a_missing_extra_names_what_to_install(postgres_server):
    program = f"""
import sys
sys.modules["psycopg"] = None
from penstock import App
try:
    App("tasks", broker={postgres_server.url()!r}).broker.queues()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ConfigError")
    assert "pip install 'penstock[postgres]'" in done.stdout


def test_a_forked_child_has_connections_of_its_own(broker):
    broker.publish([message()])
    listener = broker.listen(["orders"])
    pid = os.fork()
    if not pid:
        code = 1
        try:
            broker.publish([message()])
            code = 0 if broker.depth("orders") == 2 else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert broker.depth("orders") == 2
    assert listener.wait(10.0)
    listener.close()


def test_a_server_that_is_killed_in_the_middle_and_comes_back(postgres_server, postgres_url):
    broker = open_broker(postgres_url)
    broker.publish([message()])
    listener = broker.listen(["orders"])
    postgres_server.kill()
    with pytest.raises((Unavailable, Uncertain)):
        broker.publish([message()])
    postgres_server.restart()
    broker.publish([message()])
    assert listener.wait(10.0)
    listener.close()
    assert len(broker.lease(["orders"], 5, 10.0)) == 2
    broker.close()


def test_a_wait_outlasts_a_restart(postgres_server, postgres_url):
    store, got = open_store(postgres_url), []
    store.put([record("first")])
    thread = threading.Thread(target=lambda: got.extend(store.wait(["it"], 30.0)))
    thread.start()
    wait_for(lambda: store.engine.hears("done"))
    postgres_server.kill()
    wait_for(lambda: not store.engine.hears("done"))
    postgres_server.start()
    wait_for(lambda: not store.put([record("it")]))
    thread.join(30)
    assert [found.state for found in got] == ["SUCCESS"]
    store.close()


def record(task_id):
    return Record(task_id, "SUCCESS", b"{}", final=True)


def test_no_lease_ends_because_the_server_was_away(
    broker, postgres_server, postgres_url, monkeypatch
):
    """Whoever comes back first would take what the others hold, and could not renew."""
    broker.publish([message()])
    (lease,) = broker.lease(["orders"], 1, 0.2)
    postgres_server.kill()
    time.sleep(0.3)  # the lease is over by the clock
    postgres_server.start()
    other = open_broker(postgres_url)
    monkeypatch.setattr(PostgresBroker, "grace", 3_600.0)
    assert other.lease(["orders"], 1, 10.0) == []
    assert other.tend() > 3_000
    (lease,) = broker.extend([lease], 0.1)
    time.sleep(0.15)
    assert other.lease(["orders"], 1, 10.0) == []
    monkeypatch.setattr(PostgresBroker, "grace", 0.0)
    (again,) = other.lease(["orders"], 1, 10.0, wait=10.0)
    assert again.deaths == 1
    assert broker.extend([lease], 10.0) == []
    other.close()


def behind(proxy, server, url):
    return contextlib.closing(open_broker(url.replace(f":{server.port}/", f":{proxy.port}/")))


@pytest.mark.parametrize("settles", [False, True])
def test_what_a_claim_took_whose_reply_was_lost_comes_with_the_next(
    broker, postgres_server, postgres_url, settles
):
    with Proxy(postgres_server.port) as proxy, behind(proxy, postgres_server, postgres_url) as far:
        broker.publish([message()])
        held = far.lease(["orders"], 1, 60.0)
        endings = [Done(lease) for lease in held] if settles else []
        broker.publish([message() for _ in range(3)])
        proxy.drop_reply()
        with pytest.raises(Uncertain):
            far.settle_and_lease(endings, ["orders"], 5, 60.0)
        assert broker.depth("orders") == 0
        lost, leases = far.settle_and_lease(endings, ["orders"], 5, 60.0)
        assert lost == []
        assert [(lease.attempt, lease.deaths) for lease in leases] == [(2, 0)] * 3


def test_sessions_that_are_ended_are_made_anew(broker, postgres_server, postgres_url):
    broker.publish([message()])
    listener = broker.listen(["orders"])
    postgres_server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock'"
    )
    publish(broker, [message()], timeout=10.0, clock=SYSTEM_CLOCK)
    assert broker.depth("orders") == 2
    assert listener.wait(10.0)  # rung anew once it hears again, or by the message
    listener.close()


@pytest.mark.parametrize("count", [1, 100, 300])  # 300 are copied
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_line_that_ends_while_it_is_written_to(broker, count, size):
    """The client library says so in many ways, at whichever step it is."""
    many = [message(body=b"x" * size) for _ in range(count)]
    for task in (lambda: broker.publish(many), lambda: broker.settle_and_lease([], ["q"], 1, 1.0)):
        broker.depth("orders")
        (line,) = broker.engine._free
        line._poll = Quiet()
        with socket.socket(fileno=os.dup(line.fileno())) as there:
            there.shutdown(socket.SHUT_RDWR)
        with pytest.raises((Unavailable, Uncertain)):
            task()


class Quiet:
    """A poll that has not heard of the end yet; then it waits for nothing."""

    def __init__(self):
        self.asked = False

    def poll(self, timeout=None):
        self.asked, before = True, self.asked
        return [1] if before else []


def test_one_in_the_way_is_tried_again(broker, postgres_server):
    """Two batches that settle the same messages in opposite orders lock each other."""
    broker.publish([message() for _ in range(40)])
    leases = broker.lease(["orders"], 40, 60.0)
    lost = []

    def extend(mine):
        lost.extend(len(mine) - len(broker.extend(mine, 60.0)) for _ in range(20))

    threads = [
        threading.Thread(target=extend, args=(mine,))
        for mine in (leases, leases[::-1])
        for _ in "12"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == [0] * 80


def test_the_dead_of_this_machine_are_relieved_at_once(broker, postgres_url):
    broker.publish([message()])
    program = f"""
import sys
from penstock.brokers.registry import open_broker
broker = open_broker({postgres_url!r})
assert broker.lease(["orders"], 1, 600.0)
print("leased", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"leased\n"
        assert broker.lease(["orders"], 1, 10.0) == []
        assert holder.pid in broker.neighbours()
        holder.kill()
        holder.wait()
    broker.tend()
    (lease,) = broker.lease(["orders"], 1, 10.0)
    assert (lease.attempt, lease.deaths) == (2, 1)


def test_upkeep_throws_away_what_is_old(broker, postgres_server, postgres_url):
    schema = postgres_url.rpartition("=")[2]
    broker.publish([message()])
    broker.settle([Done(lease) for lease in broker.lease(["orders"], 1, 10.0)])
    assert postgres_server.sql(f"SELECT count(*) FROM {schema}.done") == [(1,)]
    postgres_server.sql(f"UPDATE {schema}.done SET ended_at = ended_at - 61")
    broker.tend()
    assert postgres_server.sql(f"SELECT count(*) FROM {schema}.done") == [(0,)]


def test_claims_of_many_queues_at_once_leave_nothing(postgres_url):
    brokers = [PostgresBroker.from_url(open_broker(postgres_url).engine.url) for _ in range(4)]
    queues = [f"q{number}" for number in range(5)]
    for queue in queues:
        brokers[0].publish([message(queue=queue) for _ in range(60)])
    done = []

    def work(broker):
        while leases := broker.lease(queues, 20, 60.0):
            done.extend(lease.message.key for lease in leases)
            broker.settle([Done(lease) for lease in leases])

    threads = [threading.Thread(target=work, args=(broker,)) for broker in brokers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wait_for(lambda: sum(brokers[0].depth(q) for q in queues) == 0)
    assert len(done) == len(set(done)) == 300
    for broker in brokers:
        broker.close()


def test_of_many_that_are_sent_once_more_none_comes_back(broker):
    messages = [message() for _ in range(300)]
    broker.publish(messages)
    broker.settle([Done(lease) for lease in broker.lease(["orders"], 100, 60.0)])
    broker.publish(messages)  # some are there: these are inserted
    broker.settle([Done(lease) for lease in broker.lease(["orders"], 300, 60.0)])
    broker.publish(messages)  # none is there: these are copied
    assert broker.depth("orders") == 0
