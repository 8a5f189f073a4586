"""The result store on SQLite: one step with the settlement, and waiting without polling."""

import asyncio
import subprocess
import sys

import pytest

from penstock.brokers.sqlite import SqliteBroker
from penstock.clock import ManualClock
from penstock.engines.sqlite import SqliteFile
from penstock.message import Done, Message, Record
from penstock.results.sqlite import SqliteStore

PUTTER = """
import sys
from penstock.results.registry import open_store
from penstock.message import Record
store = open_store(sys.argv[1])
sys.stdin.readline()
store.put([Record(sys.argv[2], "SUCCESS", b"{}", final=True)])
"""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(url, clock):
    made = SqliteStore(engine=SqliteFile.at(url), clock=clock)
    yield made
    made.close()


@pytest.fixture
def broker(url, clock):
    made = SqliteBroker(engine=SqliteFile.at(url), clock=clock)
    yield made
    made.close()


def record(key="", attempt=1, **more):
    return Record("task", "SUCCESS", b"{}", key=key, attempt=attempt, final=True, **more)


def test_a_broker_keeps_records_of_the_store_in_its_file(broker, store, tmp_path):
    other = SqliteStore(engine=SqliteFile.at(f"sqlite:///{tmp_path}/other.db"))
    assert broker.keeps_records_of(store)
    assert not broker.keeps_records_of(other)
    other.close()


def test_a_lost_lease_stores_no_result(broker, store, clock):
    broker.publish([Message("task", "q", {}, b"")])
    (stale,) = broker.lease(["q"], 1, 1.0)
    clock.advance(2.0)
    (lease,) = broker.lease(["q"], 1, 10.0)
    lost = Done(stale, record(stale.message.key))
    assert broker.settle([lost]) == [lost]
    assert store.get(["task"]) == [None]
    assert broker.settle([Done(lease, record(lease.message.key, 2))]) == []
    assert store.get(["task"])[0].attempt == 2


def test_a_settlement_wakes_who_waits_for_its_result(broker, store):
    broker.publish([Message("task", "q", {}, b"")])
    (lease,) = broker.lease(["q"], 1, 10.0)

    async def wait():
        waiting = asyncio.create_task(store.await_(["task"], None))
        while not store.engine._bells._open:  # noqa: ASYNC110 - until it listens
            await asyncio.sleep(0)
        await broker.asettle([Done(lease, record())])
        return await waiting

    assert asyncio.run(wait()) == [record()]


@pytest.mark.parametrize("colour", ["blocking", "awaiting"])
def test_another_process_ends_a_wait(store, url, colour):
    putter = subprocess.Popen(
        [sys.executable, "-c", PUTTER, url, "task"], stdin=subprocess.PIPE, text=True
    )
    try:
        putter.stdin.write("go\n")
        putter.stdin.flush()
        if colour == "blocking":
            (found,) = store.wait(["task"], None)
        else:
            (found,) = asyncio.run(store.await_(["task"], None))
    finally:
        putter.communicate()
    assert found.state == "SUCCESS"


def test_a_wait_ends_with_its_time(store):
    assert store.wait(["task"], 0.01) == [None]


def test_expired_is_gone_before_it_is_pruned(store, clock):
    store.put([record(ttl=10.0)])
    clock.advance(11.0)
    assert store.get(["task"]) == [None]
    assert store.put([record("older", 0)]) == []


def test_many_arrivals_make_one_last(store):
    told = [store.arrive("group", f"{n}", 300) for n in range(300)]
    assert told == [False] * 299 + [True]
    assert not store.arrive("group", "299", 300)
