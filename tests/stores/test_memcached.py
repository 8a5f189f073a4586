"""What a cache does to results: it forgets, it has a limit, it goes away. Nobody waits for ever."""

import contextlib
import tempfile
import threading
import time
from pathlib import Path

import pytest

from penstock import App
from penstock.engines.memcached import MemcachedServers
from penstock.errors import ConfigError, EncodeError, ResultLost, ResultTimeout, Unavailable
from penstock.message import new_id
from penstock.results.memcached import MemcachedStore
from penstock.results.registry import open_store
from penstock.url import Url
from penstock.wire.result import decode_result, read_exception
from servers import MemcachedServer
from workers import wait_for


@contextlib.contextmanager
def opened(url):
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


def another_process(url):
    """A store with an engine of its own, as another process has one."""
    return MemcachedStore(engine=MemcachedServers(Url.parse(url)))


@contextlib.contextmanager
def waiting(store, task_id, timeout=30.0):
    """A wait on a thread of its own; gives a list that gets what came of it."""
    outcome = []

    def wait():
        try:
            outcome.append(store.wait([task_id], timeout))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    yield outcome
    thread.join(20)
    assert not thread.is_alive(), "the waiter hangs"


# --- what it keeps -------------------------------------------------------------------------------


def test_celerys_key_and_document(memcached_server, memcached_url, record):
    with opened(memcached_url) as store:
        one = record(value=[1, "zwei"], ttl=600.0)
        store.put([one])
        said = memcached_server.say(f"get celery-task-meta-{one.id}")
    assert said.startswith(f"VALUE celery-task-meta-{one.id} 0 ")
    assert '"status": "SUCCESS", "result": [1, "zwei"]' in said


def test_a_lifetime_longer_than_a_month(memcached_server, memcached_url, record):
    with opened(memcached_url) as store:
        one = record(ttl=90 * 86_400.0)
        store.put([one])
        assert store.get([one.id])[0].document == one.document
        lives = int(memcached_server.say(f"mg celery-task-meta-{one.id} t").split()[1][1:])
    assert 89 * 86_400 < lives <= 90 * 86_400 + 60  # the cache's clock is its own


def test_results_of_another_process_are_heard_of_soon(memcached_url, record):
    one = record()
    other = another_process(memcached_url)
    with opened(memcached_url) as store:
        began = time.monotonic()
        with waiting(store, one.id) as outcome:
            other.put([one])
        took = time.monotonic() - began
    other.close()
    assert [found.state for found in outcome[0]] == ["SUCCESS"]
    assert took < 5


def test_two_servers_share_the_keys(record):
    with MemcachedServer() as a, MemcachedServer() as b:
        url = f"cache+memcached://127.0.0.1:{a.port};127.0.0.1:{b.port}/"
        with opened(url) as store:
            records = [record(value=number) for number in range(40)]
            store.put(records)
            found = store.get([one.id for one in records])
        assert [decode_result(one.document).result for one in found] == list(range(40))
        for server in (a, b):
            assert "STAT curr_items 0" not in server.say("stats")
        assert f"127.0.0.1:{a.port};127.0.0.1:{b.port}" in repr(store)


def test_an_attempt_that_comes_late_is_refused_by_whoever_asks(memcached_url, record):
    key = new_id()
    late = record(key=key, attempt=1)
    now = record(late.id, key=key, attempt=2, value=9)
    other = another_process(memcached_url)
    with opened(memcached_url) as store:
        other.put([now])
        assert store.put([late]) == [late]
        assert store.get([late.id]) == [now]
    other.close()


# --- its limit -----------------------------------------------------------------------------------


def test_a_result_over_the_limit_is_a_failure_that_says_so(record, caplog):
    with MemcachedServer() as server, opened(server.url()) as store:
        large = record(value="x" * 2_000_000)
        assert store.put([large]) == []
        (found,) = store.get([large.id])
        assert (found.state, found.final, found.key) == ("FAILURE", True, large.key)
        error = read_exception(decode_result(found.document).result)
    assert isinstance(error, EncodeError)
    assert "limit of 1048576" in str(error)
    assert "return a reference" in str(error)
    assert large.id in caplog.text


def test_a_state_over_the_limit_is_left_out(record, caplog):
    with MemcachedServer() as server, opened(server.url()) as store:
        large = record(value="x" * 2_000_000, final=False)
        assert store.put([large]) == [large]
        assert store.get([large.id]) == [None]
    assert large.id in caplog.text


def test_an_id_that_is_no_key(memcached_url, record):
    with opened(memcached_url) as store, pytest.raises(EncodeError, match="whitespace"):
        store.put([record("a b")])


# --- it forgets ----------------------------------------------------------------------------------


def test_a_restart_in_the_middle_of_a_wait_is_noticed(record):
    with MemcachedServer() as server, opened(server.url()) as store:
        task_id = f"of-no-time-{new_id()}"
        store.get([task_id])
        with waiting(store, task_id) as outcome:
            wait_for(lambda: "STAT cmd_get 1" in server.say("stats"), what="a look")
            time_of_a_look = server.say("stats")
            wait_for(lambda: looks(server) > looks_in(time_of_a_look) + 2, what="more looks")
            server.kill()
            server.start()
        (error,) = outcome
    assert isinstance(error, ResultLost)
    assert isinstance(error, ResultTimeout)
    assert task_id in str(error)
    assert "restarted" in str(error)


def looks(server):
    return looks_in(server.say("stats"))


def looks_in(stats):
    return int(stats.partition("STAT get_misses ")[2].split()[0])


def test_a_result_from_before_the_servers_life_is_lost(memcached_url):
    with opened(memcached_url) as store:
        sent_long_ago = "0199d4f7" + new_id()[8:]
        began = time.monotonic()
        with pytest.raises(ResultLost, match=sent_long_ago):
            store.wait([sent_long_ago], 30.0)
        assert time.monotonic() - began < 5
        assert store.get([sent_long_ago]) == [None]  # looking is not waiting


def test_what_comes_in_the_new_life_is_had(memcached_url, record):
    with opened(memcached_url) as store:
        one = record("0199d4f7" + new_id()[8:])
        store.put([one])
        assert store.wait([one.id], 30.0) == [one]


def test_an_evicted_result_is_waited_for_until_it_would_have_expired(memcached_url, tmp_path):
    app = App(
        "tasks",
        broker=f"sqlite:///{tmp_path}/q.db",
        backend=memcached_url,
        result_expires=0.2,
    )
    with pytest.raises(ResultTimeout, match="PENDING"):
        app.AsyncResult(new_id()).get()
    with pytest.raises(ResultTimeout, match="PENDING"):
        app.AsyncResult(new_id()).get(timeout=60)
    app.close()


# --- it is not there -----------------------------------------------------------------------------


def test_no_server(record):
    with opened("cache+memcached://127.0.0.1:1/") as store, pytest.raises(Unavailable) as caught:
        store.put([record()])
    assert "127.0.0.1:1" in str(caught.value)
    assert "is it running" in str(caught.value)


def test_a_server_that_comes_back_is_used_again(record):
    with MemcachedServer() as server, opened(server.url()) as store:
        store.put([record()])
        server.kill()
        with pytest.raises(Unavailable):
            store.put([record()])
        server.start()
        one = record()
        assert store.put([one]) == []
        server.kill()
        server.start()  # the connection was not used meanwhile: it is made anew unseen
        assert store.get([one.id]) == [None]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("cache+memcached://joe:s3cret@localhost/", "cannot log in"),
        ("cache+memcached://localhost/5", "no databases"),
        ("cache+memcached://localhost/?db=5", "no option db"),
        ("cache+memcached://a:1;b:x/", "no server"),
    ],
)
def test_an_address_that_means_nothing(url, said):
    with pytest.raises(ConfigError, match=said) as caught:
        open_store(url)
    assert "s3cret" not in str(caught.value)


def test_a_server_that_speaks_tls(record):
    with MemcachedServer(tls=True) as server:
        with opened(server.tls_url()) as store:
            one = record()
            assert store.put([one]) == []
            assert store.get([one.id])[0].document == one.document
        strange = server.tls_url().partition("&ca=")[0]  # an authority that nobody here knows
        with opened(strange) as store, pytest.raises(Unavailable, match="certificate verify"):
            store.get(["x"])
        missing = f"{strange}&ca=/nowhere.pem"
        with opened(missing) as store, pytest.raises(ConfigError, match="certificates"):
            store.get(["x"])


def test_a_server_that_wants_a_login():
    with tempfile.TemporaryDirectory() as folder:  # its user must get there, not only ours
        Path(folder).chmod(0o755)
        names = Path(folder) / "names"
        names.write_text("joe:s3cret\n")
        names.chmod(0o644)
        with (
            MemcachedServer("-Y", str(names)) as server,
            opened(server.url()) as store,
            pytest.raises(ConfigError, match="wants a login"),
        ):
            store.get(["x"])


def test_without_the_extra(monkeypatch, memcached_url):
    monkeypatch.setitem(__import__("sys").modules, "pymemcache.client.base", None)
    engine = MemcachedServers(Url.parse(memcached_url))
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[memcached\]'"):
        MemcachedStore(engine=engine).get(["x"])


# --- with a worker -------------------------------------------------------------------------------


def test_a_worker_stores_its_results_there(bench, memcached_url):
    tasks = bench.tasks(
        f"""
        app.conf.result_backend = {memcached_url!r}

        @app.task
        def large():
            return "x" * 10_000_000
        """
    )
    worker = bench.worker("-c", "2")
    assert "cache+memcached://127.0.0.1" in worker.text
    results = tasks.add.send_many([(n, n) for n in range(20)])
    assert [result.get(timeout=20) for result in results] == [2 * n for n in range(20)]
    with pytest.raises(EncodeError, match="memcached's limit"):
        tasks.large.delay().get(timeout=20)
    assert worker.stop() == 0


def test_a_worker_keeps_its_results_until_the_server_is_back(bench):
    with MemcachedServer() as server:
        tasks = bench.tasks(f"app.conf.result_backend = {server.url()!r}")
        worker = bench.worker("-c", "2")
        assert tasks.add.delay(1, 1).get(timeout=20) == 2
        server.kill()
        during = [tasks.add.delay(n, n) for n in range(5)]
        worker.line("trying again: .*memcached")
        server.start()
        for number, result in enumerate(during):
            wait_for(result.ready, what=f"result {number}")
            assert result.result == 2 * number
        assert tasks.add.delay(2, 3).get(timeout=20) == 5
        assert worker.stop() == 0
