"""ZooKeeper as a broker: who may use it, what a dead session frees, what a restart does."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from penstock.brokers import zookeeper
from penstock.brokers.registry import open_broker
from penstock.engines.zookeeper import Session
from penstock.errors import ConfigError, EncodeError, Unavailable, Uncertain
from penstock.message import Again, Dead, Done, Message, new_id
from penstock.url import Url
from workers import wait_for
from zookeeper_server import ZooKeeperEnsemble, ZooKeeperServer


def message(queue="orders", **fields):
    task_id = new_id()
    given = {"headers": {"task": "t", "id": task_id}, "body": b"[]"} | fields
    return Message(id=task_id, queue=queue, **given)


@contextlib.contextmanager
def opened(url):
    broker = open_broker(url)
    try:
        yield broker
    finally:
        broker.close()


def once_around(url):
    with opened(url) as broker:
        broker.publish([message()])
        (lease,) = broker.lease(["orders"], 5, 10.0)
        assert broker.settle([Done(lease)]) == []


# --- where it is, and who may ------------------------------------------------------------------


def test_several_servers_of_which_one_is_there(zookeeper_server):
    zookeeper_server.ensure()
    where = f"127.0.0.1:1,127.0.0.1:{zookeeper_server.port}"
    once_around(f"zookeeper://{where}/several")


def test_no_server():
    with opened("zookeeper://127.0.0.1:1/x") as broker, pytest.raises(Unavailable) as caught:
        broker.publish([message()])
    assert "127.0.0.1:1" in str(caught.value)
    assert "is it running" in str(caught.value)


def test_nodes_of_somebody_else_are_not_touched(zookeeper_server):
    zookeeper_server.ensure()
    here = f"127.0.0.1:{zookeeper_server.port}/locked"
    once_around(f"zookeeper://joe:s3cret@{here}")
    with opened(f"zookeeper://joe:wrong@{here}") as broker:
        with pytest.raises(ConfigError, match="user name or password") as caught:
            broker.publish([message()])
        assert "wrong@" not in str(caught.value)
        assert "wrong@" not in repr(broker)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("zookeeper://a/x?colour=red", "no option colour"),
        ("zookeeper://a/x?session=soon", "session is a number"),
        ("zookeeper://a:1,b:x/y", "no server"),
    ],
)
def test_an_address_that_means_nothing(url, said):
    with pytest.raises(ConfigError, match=said):
        open_broker(url)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "kazoo.client", None)
    refused = pytest.raises(ConfigError, match=r"pip install 'penstock\[zookeeper\]'")
    with opened("zookeeper://a/x") as broker, refused:
        broker.tend()


def test_a_message_over_the_limit_is_refused_before_it_is_sent(zookeeper_server):
    zookeeper_server.ensure()
    with opened(zookeeper_server.url("/small")) as broker:
        with pytest.raises(EncodeError, match=r"jute\.maxbuffer"):
            broker.publish([message(body=b"x" * 1_100_000)])
        broker.publish([message()])
        assert broker.depth("orders") == 1


# --- holders that die ----------------------------------------------------------------------------

HOLDER = """
    import sys, time
    from penstock.brokers.registry import open_broker
    broker = open_broker(sys.argv[1])
    (lease,) = broker.lease(["orders"], 1, 3600.0)
    print("leased", flush=True)
    time.sleep(600)
"""


def holder(url):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "leased\n"
    return process


def test_a_killed_holder_on_this_host_frees_its_message_at_once(zookeeper_url):
    with opened(zookeeper_url) as broker:
        broker.publish([message()])
        process = holder(zookeeper_url)
        assert broker.lease(["orders"], 1, 10.0) == []
        process.kill()
        process.communicate()
        began = time.monotonic()
        (lease,) = broker.lease(["orders"], 1, 10.0)
        assert (lease.attempt, lease.deaths) == (2, 1)
        assert time.monotonic() - began < 2


def test_a_session_that_is_over_frees_its_message(zookeeper_url):
    """A process that was stopped cannot be told from one on a dead machine."""
    url = f"{zookeeper_url}&session=1"
    with opened(zookeeper_url) as broker:
        broker.publish([message()])
        process = holder(url)
        try:
            os.kill(process.pid, signal.SIGSTOP)
            began = time.monotonic()
            (lease,) = broker.lease(["orders"], 1, 10.0, wait=20.0)
            assert time.monotonic() - began < 3  # the session's time-out, the server's tick
            assert lease.deaths == 1
        finally:
            process.kill()
            process.communicate()


def test_who_lost_its_session_extends_and_settles_if_nobody_came(zookeeper_url):
    with opened(zookeeper_url) as broker, opened(zookeeper_url) as other:
        broker.publish([message(), message()])
        first, second = broker.lease(["orders"], 2, 60.0)
        broker.session.close()
        assert broker.extend([first], 60.0)
        (taken,) = other.lease(["orders"], 5, 60.0)
        assert taken.message.key == second.message.key
        assert broker.settle([Done(first), Done(second)]) == [Done(second)]
        assert other.settle([Done(taken)]) == []
        assert other.depth("orders") == 0


# --- nodes that somebody else altered -------------------------------------------------------------


@contextlib.contextmanager
def by_hand(url):
    """The client library, where the broker's nodes lie."""
    session = Session(Url.parse(url))
    client = session.client()
    try:
        yield client
    finally:
        session.close()


MESSAGES, LEASES = "/penstock/queues/orders/messages", "/penstock/queues/orders/leases"


@pytest.mark.parametrize("name", ["5-0000000000000-0000000001", "mine", "a-b-c", "1-2"])
def test_a_node_that_holds_no_message_is_a_dead_letter(zookeeper_url, name):
    with opened(zookeeper_url) as broker, by_hand(zookeeper_url) as client:
        broker.publish([message()])
        client.create(f"{MESSAGES}/{name}", b"written by hand")
        assert len(broker.queues()) == 1
        (lease,) = broker.lease(["orders"], 10, 60.0)
        assert broker.settle([Done(lease)]) == []
        (letter,) = broker.dead("orders")
        assert letter.message.body == b"written by hand"
        assert f"{MESSAGES}/{name}" in letter.reason
        assert client.get_children(MESSAGES) == []
        assert broker.drop([letter.message.key]) == 1


def test_a_message_that_was_overwritten_is_a_dead_letter_and_its_holder_settles_nothing(
    zookeeper_url,
):
    with opened(zookeeper_url) as broker, by_hand(zookeeper_url) as client:
        broker.publish([message()])
        (lease,) = broker.lease(["orders"], 1, 60.0)
        (name,) = client.get_children(MESSAGES)
        client.set(f"{MESSAGES}/{name}", b"\xff")
        assert broker.settle([Done(lease)]) == [Done(lease)]
        assert broker.extend([lease], 60.0) == []
        client.delete(f"{LEASES}/{name}")
        assert broker.lease(["orders"], 1, 60.0) == []
        assert [letter.message.body for letter in broker.dead()] == [b"\xff"]


def test_a_lease_that_was_overwritten_or_made_by_hand_holds_nobody_up(zookeeper_url):
    with opened(zookeeper_url) as broker, by_hand(zookeeper_url) as client:
        broker.publish([message()])
        (name,) = client.get_children(MESSAGES)
        client.create(f"{LEASES}/{name}", b"mine")
        (first,) = broker.lease(["orders"], 1, 60.0)
        client.set(f"{LEASES}/{name}", b"mine again")
        (second,) = broker.lease(["orders"], 1, 60.0)
        assert broker.settle([Done(first)]) == [Done(first)]
        assert broker.settle([Done(second)]) == []


def test_a_message_whose_key_was_removed_is_leased_all_the_same(zookeeper_url):
    with opened(zookeeper_url) as broker, by_hand(zookeeper_url) as client:
        broker.publish([message()])
        (key,) = client.get_children("/penstock/keys")
        client.delete(f"/penstock/keys/{key}")
        (lease,) = broker.lease(["orders"], 1, 60.0)
        assert broker.settle([Done(lease)]) == []
        assert client.get_children(MESSAGES) == []


def test_a_key_that_was_overwritten_refuses_its_settlement(zookeeper_url):
    with opened(zookeeper_url) as broker, by_hand(zookeeper_url) as client:
        broker.publish([message()])
        (lease,) = broker.lease(["orders"], 1, 60.0)
        (key,) = client.get_children("/penstock/keys")
        client.set(f"/penstock/keys/{key}", b"?")
        assert broker.extend([lease], 60.0) == []
        assert broker.settle([Done(lease)]) == [Done(lease)]
        client.delete(f"{LEASES}/{client.get_children(MESSAGES)[0]}")
        (again,) = broker.lease(["orders"], 1, 60.0)
        assert broker.settle([Done(again)]) == []


def test_what_else_lies_there_is_overlooked(zookeeper_url):
    with opened(zookeeper_url) as broker, by_hand(zookeeper_url) as client:
        broker.publish([message()])
        broker.tend()
        for path in (
            "revoked/mine", "revoked/mine~soon", "news/mine", "news/1-", "settled/mine",
            "workers/mine", "queues/orders/later/mine", "queues/orders/later/mine~soon",
        ):  # fmt: skip
            client.create(f"/penstock/{path}", b"?")
        client.create("/penstock/dead/letter", b"?")
        broker.announce(b"hello")
        assert broker.announced() == [b"hello"]
        broker._sweep()
        assert broker.workers() == []
        assert broker.neighbours() == []
        (letter,) = broker.dead()
        assert (letter.message.key, letter.message.body) == ("letter", b"?")
        assert broker.replay(["letter"]) == []
        broker.enrol("mine", {})
        assert [worker.name for worker in broker.workers()] == ["mine"]
        assert len(broker.peek("orders")) == 1
        (lease,) = broker.lease(["orders"], 1, 60.0)
        assert broker.settle([Done(lease)]) == []
        assert broker.drop(["letter"]) == 1


def test_a_node_that_was_removed_is_made_anew_and_heard(zookeeper_url):
    with opened(zookeeper_url) as broker, opened(zookeeper_url) as other:
        listener = broker.listen(["orders"])
        other.publish([message()])
        assert listener.wait(10)
        with by_hand(zookeeper_url) as client:
            client.delete(MESSAGES, recursive=True)
            wait_for(lambda: client.exists(MESSAGES), what="the node that is listened to")
            while listener.wait(0.3):
                pass
            client.create(f"{MESSAGES}/5-0000000000000-0000000001", b"?")
            assert listener.wait(10)
        listener.close()


def test_nodes_that_are_closed_to_us_meanwhile(zookeeper_url):
    from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

    with opened(zookeeper_url) as broker, by_hand(zookeeper_url) as client:
        broker.publish([message()])
        client.add_auth("digest", "root:secret")
        client.set_acls(MESSAGES, [make_digest_acl("root", "secret", all=True)])
        for refused in (
            lambda: broker.publish([message()]),
            lambda: broker.lease(["orders"], 1, 60.0),
            broker.queues,
        ):
            with pytest.raises(ConfigError, match="belong to somebody else"):
                refused()
        client.set_acls(MESSAGES, OPEN_ACL_UNSAFE)
        (lease,) = broker.lease(["orders"], 1, 60.0)
        assert broker.settle([Done(lease)]) == []


def test_a_reason_that_is_too_long_is_cut():
    with ZooKeeperServer(largest=1024 * 1024) as server, opened(server.url("/x")) as broker:
        broker.publish([message(body=b"x" * 1_000_000)])
        (lease,) = broker.lease(["orders"], 1, 60.0)
        assert broker.settle([Dead(lease, "because \u20ac " * 200_000)]) == []
        (letter,) = broker.dead()
        assert letter.reason.startswith("because \u20ac because")
        assert letter.reason.endswith(" \u2026")
        assert len(letter.message.body) == 1_000_000


def test_a_server_that_takes_less_than_the_url_says_is_named_as_a_cause(monkeypatch):
    monkeypatch.setattr(zookeeper, "_PATIENCE", 1.0)
    with ZooKeeperServer(largest=200_000) as server, opened(server.url("/x")) as broker:
        with pytest.raises(Uncertain, match=r"more than jute\.maxbuffer .*\?max_message="):
            broker.publish([message(body=b"x" * 300_000)])
        broker.publish([message()])
        assert broker.depth("orders") == 1


# --- a server that restarts ----------------------------------------------------------------------


def test_a_restart_loses_nothing():
    # The session outlives a restart, also on a machine that is busy.
    with ZooKeeperServer() as server, opened(server.url("/x?session=40")) as broker:
        broker.publish([message() for _ in range(5)])
        (held,) = broker.lease(["orders"], 1, 60.0)
        server.kill()
        with pytest.raises((Unavailable, Uncertain)):
            broker.lease(["orders"], 1, 60.0)
        server.start()
        wait_for(lambda: works(broker), what="the connection")
        broker.publish([message()])
        leases = broker.lease(["orders"], 10, 60.0)
        assert len(leases) == 5
        assert broker.settle([Done(lease) for lease in (held, *leases)]) == []
        assert broker.queues() == []


def test_a_server_that_forgets_a_connection_is_asked_again():
    """It does so in the moment before it can serve; the library alone would wait for 40 s."""
    with ZooKeeperServer() as server, opened(server.url("/x?session=40")) as broker:
        broker.publish([message()])
        server.kill()
        with socket.create_server(("127.0.0.1", server.port)) as deaf:
            forgotten, _ = deaf.accept()
        with forgotten:
            server.start()
            began = time.monotonic()
            wait_for(lambda: works(broker), what="the connection")
            assert time.monotonic() - began < 5
            assert len(broker.lease(["orders"], 10, 60.0)) == 1


def works(broker):
    with contextlib.suppress(Unavailable, Uncertain):
        broker.tend()
        return True
    return False


def test_a_listener_hears_again_after_a_restart():
    with ZooKeeperServer() as server, opened(server.url("/x")) as broker:
        listener = broker.listen(["orders"])
        server.restart()
        wait_for(lambda: works(broker), what="the connection")
        assert listener.wait(10)  # look again: it may have missed something
        while listener.wait(0.3):
            pass
        with opened(server.url("/x")) as other:
            other.publish([message()])
        assert listener.wait(10)
        listener.close()


# --- upkeep --------------------------------------------------------------------------------------


def test_nothing_is_left_of_what_was_settled_long_ago(zookeeper_url):
    with opened(zookeeper_url) as broker:
        broker.publish([message() for _ in range(20)])
        leases = broker.lease(["orders"], 20, 60.0)
        broker.settle([Again(leases[0], leases[0].message, time.time() + 0.01)])
        broker.settle([Done(lease) for lease in leases[1:]])
        broker.lease(["orders"], 1, 60.0, wait=10.0)
        real = broker._now
        broker._now = lambda: real() + 3_600
        broker._sweep()
        assert broker._children("/penstock/keys", "/penstock/settled")[0] != []
        assert len(broker._children("/penstock/keys")[0]) == 1
        assert broker._children("/penstock/queues/orders/later") == [[]]


def test_a_forked_child_has_a_session_of_its_own(zookeeper_url):
    session = Session(Url.parse(zookeeper_url))
    mine = session.id
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            os.write(writer, str(session.id).encode())
            session.close()
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = int(os.read(reader, 100))
    os.close(reader)
    os.close(writer)
    assert theirs != mine
    assert session.id == mine
    session.close()


# --- with a worker -------------------------------------------------------------------------------


def test_a_worker_works(bench, zookeeper_url, tmp_path):
    tasks = bench.tasks(
        f"""
        app.conf.broker_url = {zookeeper_url!r}

        @app.task(bind=True)
        def stubborn(self):
            note(f"stubborn {{os.getpid()}}")
            if len(open("journal").read().split("stubborn")) < 3:
                os._exit(1)
            return "done"
        """
    )
    worker = bench.worker("-c", "2")
    assert "a majority of the ensemble" in worker.text
    results = tasks.add.send_many([(n, n) for n in range(20)])
    assert [result.get(timeout=20) for result in results] == [2 * n for n in range(20)]
    assert tasks.stubborn.delay().get(timeout=20) == "done"
    assert worker.stop() == 0
    with opened(zookeeper_url) as broker:
        assert broker.queues() == []
        assert broker.workers() == []


def test_a_killed_worker_is_relieved(bench, zookeeper_url):
    tasks = bench.tasks(
        f"""
        app.conf.broker_url = {zookeeper_url!r}

        @app.task
        def slow(name):
            note(f"began {{name}}")
            until(name)
            return "done"
        """
    )
    gate = bench.gate()
    first = bench.worker("-c", "1", "-n", "first")
    result = tasks.slow.delay("gate")
    bench.noted("began")
    bench.worker("-c", "1", "-n", "second")
    first.kill()
    began = time.monotonic()
    wait_for(lambda: len(bench.journal()) == 2, what="a second run")
    assert time.monotonic() - began < 5
    gate()
    assert result.get(timeout=20) == "done"


def test_restarts_under_load_lose_nothing(bench):
    with ZooKeeperServer() as server:
        tasks = bench.tasks(
            f"""
            app.conf.broker_url = {server.url("/load")!r}
            app.conf.publish_timeout = 20

            @app.task
            def noted(number):
                note(f"ran {{number}}")
                return number
            """
        )
        worker = bench.worker("-c", "2")
        results = []
        for restart in range(2):
            results += [
                tasks.noted.delay(number) for number in range(20 * restart, 20 * restart + 20)
            ]
            server.kill()
            server.start()
            began = time.monotonic()
            results.append(tasks.noted.delay(1000 + restart))
            bench.noted(f"ran {1000 + restart}$")
            assert time.monotonic() - began < 10  # 3 on a machine that has nothing else to do
        values = sorted(result.get(timeout=30) for result in results)
        assert values == [*range(40), 1000, 1001]
        assert worker.stop() == 0
        with opened(server.url("/load")) as broker:
            assert broker.queues() == []


def test_a_leader_that_is_killed_under_load_is_followed_by_another(bench):
    with ZooKeeperEnsemble() as ensemble:
        tasks = bench.tasks(
            f"""
            app.conf.broker_url = {ensemble.url("/load")!r}
            app.conf.publish_timeout = 20  # elections, at times, take more than five

            @app.task
            def noted(number):
                note(f"ran {{number}}")
                return number
            """
        )
        worker = bench.worker("-c", "2")
        results = []
        for turn in range(2):
            results += [tasks.noted.delay(number) for number in range(20 * turn, 20 * turn + 20)]
            leader = ensemble.leader()
            leader.kill()
            results.append(tasks.noted.delay(1000 + turn))
            bench.noted(f"ran {1000 + turn}$", timeout=30)
            leader.start()  # it follows now
        assert sorted(result.get(timeout=30) for result in results) == [*range(40), 1000, 1001]
        ran = sorted(int(line.split()[1]) for line in bench.journal())
        assert ran == [*range(40), 1000, 1001]  # its worker lived on: none ran twice
        assert worker.stop() == 0
        with opened(ensemble.url("/load")) as broker:
            assert broker.queues() == []
