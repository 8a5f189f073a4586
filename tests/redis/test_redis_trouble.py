"""A server that is full, loading, a replica, restarted, hung, or holds something else: who says
what, and how soon a worker is back at work.
"""

import os
import random
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.brokers.registry import open_broker
from penstock.errors import Unavailable, Uncertain
from penstock.message import Again, Done, Message, Record, new_id
from penstock.results.registry import open_store
from proxy import Proxy
from servers import RedisServer
from workers import Bench, wait_for

GONE = 60.0 if os.environ.get("FAULTS") == "full" else 6.0  # seconds


def message(queue="orders", **fields):
    task_id = new_id()
    return Message(
        id=task_id, queue=queue, headers={"task": "t", "id": task_id}, body=b"[]", **fields
    )


@pytest.fixture
def bench(tmp_path, monkeypatch, redis_url):
    monkeypatch.chdir(tmp_path)
    bench = Bench(tmp_path)
    monkeypatch.setenv("PENSTOCK_BROKER_URL", redis_url)
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", redis_url)
    yield bench
    for worker in bench.workers:
        worker.kill()
    if bench.app is not None:
        bench.app.close()


# --- full ---------------------------------------------------------------------------------------


def fill(server, broker):
    """Publish until the server takes nothing more; gives how many it took."""
    count = 0
    while True:
        try:
            broker.publish([message(properties={"filling": "x" * 50_000})])
        except Unavailable as error:
            refusal = str(error)
            break
        count += 1
    assert "maxmemory" in refusal
    server.cli("CONFIG", "SET", "maxmemory", "1mb")  # less than it uses already
    return count


def test_a_full_server_can_be_drained():
    """Claims, renewals and settlements are what makes room again."""
    with RedisServer(settings={"maxmemory": "5mb"}) as server:
        broker, store = open_broker(server.url()), open_store(server.url())
        broker.keeps_records_of(store)
        count = fill(server, broker)
        broker._holder().seen = -1e9  # a sign of life is due
        broker.tend()
        worked = 0
        while leases := broker.lease(["orders"], 5, 30.0):
            assert {lease.attempt for lease in leases} == {1}
            assert len(broker.extend(leases, 30.0)) == len(leases)
            broker.settle([Again(leases[0], leases[0].message)])
            (again,) = broker.lease(["orders"], 1, 30.0)
            ended = [Done(one, record(one)) for one in [again, *leases[1:]]]
            assert broker.settle(ended) == []
            worked += len(ended)
        assert worked == count
        broker.close()
        store.close()


def record(lease):
    one = lease.message
    return Record(one.id, "SUCCESS", b'{"status": "SUCCESS"}', one.key, lease.attempt, final=True)


# --- loading, a replica -------------------------------------------------------------------------


def test_a_server_that_loads_is_waited_for():
    with RedisServer(settings={"save": "3600 1"}) as server:
        broker = open_broker(server.url())
        for number in range(20):
            filling = {"filling": random.randbytes(50_000).hex()}
            broker.publish([message(f"orders-{number}", properties=filling)])
        broker.publish([message()])
        server.cli("SAVE")
        server.kill()
        server.settings |= {
            "key-load-delay": "100000",  # microseconds for each key
            "loading-process-events-interval-bytes": "1024",
        }
        server.start(ready="Server initialized")
        with pytest.raises(Unavailable, match="reading its data"):
            broker.lease(["orders"], 1, 10.0)
        began = time.monotonic()
        leases = wait_until_leased(broker)
        assert time.monotonic() - began < 10
        assert len(leases) == 1
        broker.close()


def wait_until_leased(broker):
    def lease():
        try:
            return broker.lease(["orders"], 1, 10.0, wait=0.2)
        except Unavailable:
            return None

    return wait_for(lease)


def test_a_replica_says_so_and_its_connections_are_given_up(redis_server, redis_url):
    broker = open_broker(redis_url)
    broker.publish([message()])
    redis_server.cli("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(Unavailable, match="name the master"):
            broker.publish([message()])
        assert broker.engine._free == []
    finally:
        redis_server.cli("REPLICAOF", "NO", "ONE")
    broker.publish([message()])
    broker.close()


# --- numbers that were given away ---------------------------------------------------------------


def test_a_server_that_forgot_its_last_seconds_gives_no_number_twice():
    """Else a late settlement would end another's message."""
    with RedisServer(settings={"save": "3600 1"}) as server:
        broker = open_broker(server.url())
        broker.publish([message()])
        (first,) = broker.lease(["orders"], 1, 30.0)
        broker.publish([message(), message()])
        server.cli("SAVE")
        (forgotten,) = broker.lease(["orders"], 1, 30.0)
        server.kill()
        server.start()
        other = open_broker(server.url() + "?key_prefix=")
        (again, _) = other.lease(["orders"], 2, 30.0)
        assert again.message.id == forgotten.message.id
        assert again.fence > forgotten.fence > first.fence
        stale = Done(forgotten)
        assert broker.settle([stale]) == [stale]
        assert other.settle([Done(again)]) == []
        assert broker.settle([Done(first)]) == []  # that one it knew
        broker.close()
        other.close()


def test_a_server_that_refuses_the_greeting_is_greeted_again(redis_server, redis_url):
    """As a new master that waits for its replicas: it may have lost the last numbers, too."""
    before = open_broker(redis_url)
    before.publish([message(), message()])
    (old,) = before.lease(["orders"], 1, 30.0)
    redis_server.cli("SET", "penstock.run", "another server's")
    redis_server.cli("CONFIG", "SET", "min-replicas-to-write", "1")
    broker = open_broker(redis_url + "?key_prefix=")
    try:
        with pytest.raises(Unavailable, match="min-replicas-to-write"):
            broker.lease(["orders"], 1, 30.0)
    finally:
        redis_server.cli("CONFIG", "SET", "min-replicas-to-write", "0")
    (lease,) = broker.lease(["orders"], 1, 30.0)
    assert lease.fence > old.fence + 1000  # from the time, not one on
    assert redis_server.cli("GET", "penstock.run") != "another server's"
    before.close()
    broker.close()


# --- something else under a name ----------------------------------------------------------------


def test_a_retry_into_a_queue_that_cannot_be_is_kept(redis_server, redis_url):
    broker = open_broker(redis_url)
    broker.publish([message()])
    (lease,) = broker.lease(["orders"], 1, 30.0)
    redis_server.cli("SET", "elsewhere", "a value")
    retry = message("elsewhere")
    assert broker.settle([Again(lease, retry)]) == []
    (again,) = broker.lease(["elsewhere"], 1, 30.0)
    assert again.message.id == retry.id
    broker.close()


def test_a_worker_serves_its_other_queues_and_says_what_is_wrong(bench, redis_server):
    tasks = bench.tasks()
    worker = bench.worker("-Q", "broken,celery", "-c", "1")
    redis_server.cli("SET", "broken", "a value")
    results = [tasks.add.delay(n, n) for n in range(20)]
    assert [result.get(timeout=20) for result in results] == [2 * n for n in range(20)]
    worker.line("'broken' holds no list")
    redis_server.cli("DEL", "broken")
    assert tasks.add.apply_async((1, 1), queue="broken").get(timeout=20) == 2
    assert worker.stop() == 0


# --- away ---------------------------------------------------------------------------------------

LASTS = """
    @app.task
    def lasts(path):
        note("began")
        while not os.path.exists(path):
            time.sleep(0.01)
        return "at last"
"""


def restarted_consumer(server, tasks, down=0.0):
    """Seconds from the server's return to the end of a task that was sent at once."""
    server.kill()
    threading.Event().wait(down)  # while it is away nothing happens that could be awaited
    server.start()
    began = time.monotonic()
    result = tasks.add.delay(1, 1)
    assert result.get(timeout=20) == 2
    return time.monotonic() - began


def test_a_worker_is_back_within_seconds(bench, redis_server):
    tasks = bench.tasks()
    worker = bench.worker("-c", "1")
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert restarted_consumer(redis_server, tasks) < 3
    assert restarted_consumer(redis_server, tasks, down=5.0) < 3
    assert "The broker is back" in worker.text
    assert worker.stop() == 0


TROUBLES = {  # what is said to the server: then it serves no worker, and then it does again
    "a replica": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "name the master"),
    "too few replicas": (
        *("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
        "min-replicas-to-write",
    ),
    "no right to it": (
        *("ACL SETUSER worker -@scripting", "ACL SETUSER worker +@scripting"),
        "give it the commands",
    ),
    "another password": (
        *("ACL SETUSER worker resetpass >other", "ACL SETUSER worker resetpass >secret"),
        "password is wrong",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_worker_outlives_what_a_server_says_for_a_while(
    bench, redis_server, monkeypatch, trouble
):
    """What ended meanwhile is stored, and who waits has it; nobody restarts the worker."""
    begin, end, said = TROUBLES[trouble]
    redis_server.cli(*["ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all"])
    monkeypatch.setenv(
        "PENSTOCK_BROKER_URL", f"redis://worker:secret@127.0.0.1:{redis_server.port}"
    )
    tasks = bench.tasks(LASTS)
    worker = bench.worker("-c", "1")
    result = tasks.lasts.delay("over")
    bench.noted("began")
    redis_server.cli(*begin.split())
    try:
        redis_server.cli("CLIENT", "KILL", "USER", "worker")
        (bench.folder / "over").touch()
        worker.line(said)
    finally:
        redis_server.cli(*end.split())
    began = time.monotonic()
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert time.monotonic() - began < 3
    assert result.get(timeout=20) == "at last"
    worker.line("The broker is back")
    assert "secret" not in worker.text
    assert worker.stop() == 0
    redis_server.cli("ACL", "DELUSER", "worker")


ENGINES = Path(__file__).parents[2] / "docs" / "engines.md"


def test_the_account_that_the_documentation_gives_a_worker_is_enough(
    bench, redis_server, monkeypatch
):
    """For tasks and delays, the line on durability, being steered and telling of itself."""
    (words,) = re.findall(
        r"^ +(ACL SETUSER worker on >password .+)$", ENGINES.read_text(), re.MULTILINE
    )
    redis_server.cli(*words.split())
    url = f"redis://worker:password@127.0.0.1:{redis_server.port}"
    monkeypatch.setenv("PENSTOCK_BROKER_URL", url)
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", f"{url}/6")
    tasks = bench.tasks()
    worker = bench.worker("-c", "1", "-E")
    assert "dies everything" in worker.text  # it was told the server's settings
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert tasks.add.apply_async((2, 2), countdown=0.2).get(timeout=20) == 4
    ((answer,),) = [reply.values() for reply in bench.app.control.ping(timeout=20.0)]
    assert answer == {"ok": "pong"}
    assert [queue.name for queue in bench.app.broker.queues()] == []
    assert worker.stop() == 0
    for line in worker.text.splitlines():
        assert "ERROR" not in line
        assert "WARNING/" not in line or "Stopping" in line
    redis_server.cli("ACL", "DELUSER", "worker")


FORGETTING = {
    "its scripts": ["SCRIPT FLUSH"],
    "everything": ["FLUSHALL"],
    "its clients": ["CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub"],
}


@pytest.mark.parametrize("what", FORGETTING)
def test_a_worker_goes_on_when_the_server_forgets(bench, redis_server, what):
    tasks = bench.tasks()
    worker = bench.worker("-c", "1")
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    for command in FORGETTING[what]:
        redis_server.cli(*command.split())
    began = time.monotonic()
    assert tasks.add.delay(2, 2).get(timeout=20) == 4
    assert time.monotonic() - began < 3
    assert worker.stop() in {0, 1}  # 1 if told twice before it was through


def test_a_server_that_is_gone_for_long_loses_nothing_and_leaves_nobody_waiting(bench, monkeypatch):
    """For a minute with FAULTS=full in the environment, as `make faults` sets it."""
    with RedisServer(appendonly=True, settings={"appendfsync": "always"}) as server:
        monkeypatch.setenv("PENSTOCK_BROKER_URL", server.url())
        monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", server.url(1))
        tasks = bench.tasks(LASTS)
        worker = bench.worker("-c", "1")
        results = [tasks.lasts.delay("over"), *tasks.add.send_many([(n, n) for n in range(30)])]
        wanted = ["at last", *(2 * n for n in range(30))]
        bench.noted("began")
        with ThreadPoolExecutor(len(results)) as threads:
            waiters = [threads.submit(result.get, timeout=GONE + 60) for result in results]
            heard = f"sub={len(results)} "
            wait_for(lambda: heard in server.cli("CLIENT", "LIST"), what="all waiters")
            server.kill()
            gone = time.monotonic()
            (bench.folder / "over").touch()  # what ends now has nowhere to be stored
            with pytest.raises(Unavailable):
                tasks.add.delay(1, 1)
            while time.monotonic() - gone < GONE:
                threading.Event().wait(0.1)  # nothing happens that could be awaited
            server.start()
            began = time.monotonic()
            assert tasks.add.delay(20, 1).get(timeout=20) == 21
            assert time.monotonic() - began < 3
            assert [waiter.result() for waiter in waiters] == wanted
        assert "The broker is back" in worker.text
        assert worker.stop() == 0


def test_a_worker_that_is_hurried_asks_once_more_before_it_leaves(bench, redis_server, monkeypatch):
    """What it did would run again, though the broker, away a moment ago, is there."""
    tasks = bench.tasks(LASTS)
    result = tasks.lasts.delay("over")
    with Proxy(redis_server.port) as proxy:
        through = redis_server.url().replace(f":{redis_server.port}/", f":{proxy.port}/")
        monkeypatch.setenv("PENSTOCK_BROKER_URL", through)
        monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", through)
        worker = bench.worker("-c", "1")
        bench.noted("began")
        proxy.refuse()
        (bench.folder / "over").touch()
        worker.line("The broker is away")
        tried = proxy.accepted
        wait_for(lambda: proxy.accepted > tried + 8)  # its pauses grow to a second
        os.kill(worker.pid, signal.SIGTERM)
        worker.line("Stopping")
        proxy.heal()
        assert worker.stop() in {0, 1}  # 1 if told twice before it was through
        assert result.get(timeout=5) == "at last"


@pytest.mark.parametrize("database", [0, 6], ids=["results beside", "results elsewhere"])
def test_a_hung_server_is_told_of_and_stops_nobody(bench, redis_server, monkeypatch, database):
    monkeypatch.setenv("PENSTOCK_BROKER_URL", f"{redis_server.url()}?socket_timeout=1")
    results = f"{redis_server.url(database)}?socket_timeout=1"
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", results)
    tasks = bench.tasks()
    worker = bench.worker("-c", "1")
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    redis_server.pause()
    began = time.monotonic()
    with pytest.raises(Uncertain):
        tasks.add.delay(1, 1)
    assert time.monotonic() - began < 3
    worker.line("The broker is away", timeout=10)
    began = time.monotonic()
    assert worker.stop() == 0
    # Three waits of two seconds at most, for a login: upkeep that had begun, one more, an event.
    assert time.monotonic() - began < 12
    redis_server.resume()


def test_a_line_that_went_without_a_word_is_found_out(redis_server, redis_url, monkeypatch):
    """As behind a router that forgot it: whoever waits listens on another, and looks again."""
    monkeypatch.setattr("penstock.engines.redis_ears._SILENCE", 0.2)
    monkeypatch.setattr("penstock.engines.redis._CONNECT_TIMEOUT", 0.2)
    with Proxy(redis_server.port) as proxy:
        through = redis_url.replace(f":{redis_server.port}/", f":{proxy.port}/")
        waiting, other = open_broker(through), open_broker(redis_url)
        others = redis_server.cli("CLIENT", "LIST").count("flags=t")  # of tests before
        listener = waiting.listen(["orders"])
        wait_for(lambda: redis_server.cli("CLIENT", "LIST").count("flags=t") > others)
        proxy.swallow()
        other.publish([message()])
        wait_for(lambda: proxy.accepted > 1)  # it tries another
        listener.clear()
        assert not listener.wait(0)
        proxy.heal()
        assert listener.wait(20)
        listener.close()
        waiting.close()
        other.close()
