"""A server that goes away, is replaced, fills up or refuses amid the work: said, and waited out."""

import contextlib
import threading
import time

import pytest

from penstock.brokers.registry import open_broker
from penstock.errors import ConfigError, Unavailable
from postgres_server import PostgresServer, PostgresStandby
from workers import wait_for

SOON = 10  # seconds: three on a machine that has nothing else to do

TASKS = """
    app.conf.broker_url = {url!r}
    app.conf.lease_time = 3.0
    app.conf.publish_timeout = {patience}

    @app.task
    def noted(number):
        note(f"ran {{number}}")
        return number

    @app.task
    def gated(name):
        note(f"began {{name}}")
        until(name)
        return "done"
"""


@pytest.fixture
def server():
    with PostgresServer() as server:
        yield server


def tasks_on(bench, url, *, patience=20.0):
    return bench.tasks(TASKS.format(url=url, patience=patience))


def works_again(bench, tasks, number):
    """A task that is sent now runs soon; gives its result."""
    began = time.monotonic()
    result = tasks.noted.delay(number)
    bench.noted(f"ran {number}$")
    assert time.monotonic() - began < SOON
    return result


def each_ran_once(bench, results):
    """Whoever runs a task lived all the time, so nothing excuses a second run."""
    numbers = sorted(result.get(timeout=30) for result in results)
    assert sorted(int(line.split()[1]) for line in bench.journal()) == numbers


class Load:
    """Sends one task after the other, for as long as the block lasts."""

    def __init__(self, task):
        self.task = task
        self.results = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self):
        number = 0
        while not self._over.wait(0.002):  # some hundred a second: the pace of the load
            self.results.append(self.task.delay(number))
            number += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def test_five_restarts_under_load_lose_nothing_and_repeat_nothing(bench, server):
    tasks = tasks_on(bench, server.url())
    worker = bench.worker("-c", "2")
    again = []
    with Load(tasks.noted) as load:
        for restart in range(5):
            bench.noted(f"ran {20 * restart}$")
            server.kill()
            server.start()
            again.append(works_again(bench, tasks, 10**6 + restart))
    each_ran_once(bench, [*load.results, *again])
    assert worker.stop() == 0


def test_sessions_that_are_ended_under_load_lose_nothing_and_repeat_nothing(bench, server):
    tasks = tasks_on(bench, server.url())
    worker = bench.worker("-c", "2")
    with Load(tasks.noted) as load:
        for turn in range(10):
            bench.noted(f"ran {20 * turn}$")
            server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'penstock'"
            )
    each_ran_once(bench, load.results)
    assert worker.stop() == 0


def test_a_standby_takes_over(bench, server):
    with PostgresStandby(server) as standby:
        server.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        server.sql("SELECT pg_reload_conf()")
        tasks = tasks_on(bench, server.url_with(standby))
        worker = bench.worker("-c", "2")
        with Load(tasks.noted) as load:
            bench.noted("ran 20$")
            server.kill()
            standby.promote()
            again = works_again(bench, tasks, 10**6)
        each_ran_once(bench, [*load.results, again])
        assert worker.stop() == 0


def test_a_server_that_takes_no_writes(bench, server):
    tasks = tasks_on(bench, server.url(), patience=0.5)
    worker = bench.worker("-c", "1")
    tasks.noted.delay(1).get(timeout=20)
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    server.sql("SELECT pg_reload_conf()")
    wait_for(lambda: server.sql("SHOW default_transaction_read_only") == [("on",)])
    with pytest.raises(Unavailable, match=r"read-only.*target_session_attrs"):
        tasks.noted.delay(2)
    server.sql("ALTER SYSTEM RESET default_transaction_read_only")
    server.sql("SELECT pg_reload_conf()")
    wait_for(lambda: server.sql("SHOW default_transaction_read_only") == [("off",)])
    works_again(bench, tasks, 3).get(timeout=20)
    assert bench.journal() == ["ran 1", "ran 3"]
    assert worker.stop() == 0


def test_a_table_that_is_altered_amid_the_work_is_named_until_it_is_mended(bench, server):
    tasks = tasks_on(bench, server.url(), patience=0.5)
    worker = bench.worker("-c", "1")
    tasks.noted.delay(1).get(timeout=20)
    server.sql("ALTER TABLE penstock.message RENAME COLUMN body TO gone")
    with pytest.raises(ConfigError, match=r"body.*was altered"):
        tasks.noted.delay(2)
    worker.line("The broker refuses, trying again: .*was altered")
    server.sql("ALTER TABLE penstock.message RENAME COLUMN gone TO body")
    works_again(bench, tasks, 3).get(timeout=20)
    assert worker.stop() == 0


def test_a_password_that_is_changed_amid_the_work(bench, server):
    with contextlib.closing(open_broker(server.url())) as broker:
        broker.depth("celery")  # makes the tables
    server.sql("CREATE ROLE worker LOGIN PASSWORD 'first' IN ROLE penstock")
    tasks = tasks_on(bench, server.url(user="worker", password="first"), patience=0.5)
    worker = bench.worker("-c", "1")
    tasks.noted.delay(1).get(timeout=20)
    server.sql("ALTER ROLE worker PASSWORD 'second'")
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'")
    line = worker.line("The broker refuses, trying again: .*")
    assert "user name or password is wrong" in line[0]
    with pytest.raises(ConfigError, match="user name or password is wrong") as caught:
        tasks.noted.delay(2)
    server.sql("ALTER ROLE worker PASSWORD 'first'")
    works_again(bench, tasks, 3).get(timeout=20)
    assert worker.stop() == 0
    assert "first" not in f"{caught.value}{worker.text}"


def send_on(task, kept):
    while True:
        kept.append(task.delay(len(kept)))


def test_a_full_disk_refuses_and_goes_on_once_there_is_room(bench, server, small_disk):
    server.keep_tables_at(small_disk)
    tasks = tasks_on(bench, server.url(), patience=0.5)
    worker = bench.worker("-c", "1")
    kept = [tasks.noted.delay(number) for number in range(20)]
    kept[-1].get(timeout=20)
    server.fill()
    with pytest.raises(Unavailable, match="disk is full"):
        send_on(tasks.noted, kept)
    server.make_room()
    kept.append(works_again(bench, tasks, 10**6))
    each_ran_once(bench, kept)
    assert worker.stop() == 0
