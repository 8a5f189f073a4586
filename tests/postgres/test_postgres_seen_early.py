"""A publication on PostgreSQL: workers see it while its caller waits for the disk."""

import contextlib
import os
import threading

import pytest

from penstock.brokers.registry import open_broker
from penstock.engines import postgres_line
from penstock.errors import Uncertain
from penstock.message import Message, new_id
from penstock.results.registry import open_store

COUNT = "SELECT count(*) FROM {}.message"


def message():
    return Message(id=new_id(), queue="orders", headers={"task": "t"}, body=b"[]")


@pytest.fixture
def broker(postgres_url):
    broker = open_broker(postgres_url)
    broker.publish([message()])
    yield broker
    broker.close()


@pytest.fixture
def count(postgres_server, postgres_url):
    sql = COUNT.format(postgres_url.rpartition("=")[2])
    return lambda: postgres_server.sql(sql)[0][0]


@contextlib.contextmanager
def nothing_durable(server):
    """Commits that are to be durable wait: for a standby that is not there, as for a disk."""

    def set_to(name):
        server.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        server.sql("SELECT pg_reload_conf()")
        wanted = "SELECT current_setting('synchronous_standby_names')"
        while server.sql(wanted) != [(name,)]:
            pass

    set_to("nobody")
    try:
        yield
    finally:
        set_to("")


def in_a_thread(call):
    done = threading.Event()
    thread = threading.Thread(target=lambda: (call(), done.set()))
    thread.start()
    return thread, done


def test_a_worker_sees_it_and_its_caller_waits(broker, postgres_server, count):
    bell = broker.listen(["orders"])
    with nothing_durable(postgres_server):
        thread, told = in_a_thread(lambda: broker.publish([message()]))
        assert bell.wait(20)
        assert count() == 2
        assert not told.is_set()
    thread.join(20)
    assert told.is_set()
    bell.close()


def test_what_is_there_already_is_waited_for_all_the_same(broker, postgres_server, count):
    sent = message()
    with nothing_durable(postgres_server):
        bell = broker.listen(["orders"])
        first, _ = in_a_thread(lambda: broker.publish([sent]))
        assert bell.wait(20)
        bell.clear()
        again, told = in_a_thread(lambda: broker.publish([sent]))
        assert bell.wait(20)
        assert not told.is_set()
    first.join(20)
    again.join(20)
    assert told.is_set()
    assert count() == 2
    bell.close()


def test_a_disk_that_does_not_confirm_is_told(broker, monkeypatch, count):
    monkeypatch.setattr(postgres_line, "_WAIT", "SELECT 1 / 0")
    with pytest.raises(Uncertain, match="is stored, and telling so failed"):
        broker.publish([message()])
    assert count() == 2
    monkeypatch.undo()
    broker.publish([message()])
    assert count() == 3


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is the worker's")
def test_who_has_published_is_keen_on_the_answer(broker, postgres_url, monkeypatch):
    engine = broker.engine
    engine._keen._seconds = 1_000.0  # however slow this machine is
    yields = []
    monkeypatch.setattr(os, "sched_yield", lambda: yields.append(True))
    store = open_store(postgres_url)
    engine._keen._until = 0.0  # long after what the fixture has published
    assert store.wait([new_id()], 0.02) == [None]
    assert not yields, "only what is published is answered"
    broker.publish([message()])
    assert store.wait([new_id()], 0.02) == [None]
    assert yields
    store.close()
