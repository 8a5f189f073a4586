"""The file stays bounded: what nobody needs any more goes, in chunks; an idle worker is idle."""

from pathlib import Path

import pytest

from penstock.brokers.sqlite_upkeep import CHUNK
from penstock.message import Dead, Done, Record
from penstock.plan import Exchange
from penstock.results.sqlite import SqliteStore


def count(broker, table):
    look = Exchange("count", lambda c: c.execute(f"SELECT count(*) FROM {table}").get, writes=False)
    return broker.engine.execute(look)


def finish(broker):
    broker.settle([Done(lease) for lease in broker.lease(["q"], 10_000, 60.0)])


def test_tombstones_go_after_a_minute_in_chunks(broker, message, clock):
    broker.publish([message() for _ in range(CHUNK + 5)])
    broker.purge("q")
    broker.tend()
    assert count(broker, "message") == CHUNK + 5
    clock.advance(61)
    assert broker.tend() == 0.0, "there is more"
    assert count(broker, "message") == 5
    assert broker.tend() is None
    assert count(broker, "message") == 0


def test_settling_prunes_as_it_goes(broker, message, clock):
    for _ in range(5):
        broker.publish([message() for _ in range(20)])
        finish(broker)
        clock.advance(61)
    assert count(broker, "message") <= 40


def test_a_tombstone_keeps_a_late_repeat_out(broker, message, clock):
    sent = message()
    broker.publish([sent])
    finish(broker)
    clock.advance(59)
    broker.tend()
    broker.publish([sent])
    assert broker.lease(["q"], 1, 10.0) == []


def test_dead_letters_go_after_a_week(broker, message, clock):
    broker.publish([message()])
    broker.settle([Dead(broker.lease(["q"], 1, 10.0)[0], "bad")])
    clock.advance(6 * 86_400.0)
    broker.tend()
    assert len(broker.dead()) == 1
    clock.advance(2 * 86_400.0)
    broker.tend()
    assert broker.dead() == []


def test_revoked_ids_announcements_and_results_go(broker, clock):
    store = SqliteStore(engine=broker.engine, clock=clock)
    broker.revoke(["a"], 10.0)
    broker.announce(b"hello")
    store.put([Record("a", "SUCCESS", b"{}", final=True, ttl=30.0), Record("b", "X", b"{}")])
    clock.advance(100)
    broker.tend()
    assert [count(broker, table) for table in ("revoked", "announcement", "result")] == [0, 0, 1]


def test_an_idle_worker_writes_nothing(broker, message, clock):
    broker.publish([message()])
    finish(broker)
    clock.advance(61)
    broker.tend()
    broker.tend()
    log = Path(f"{broker.engine.location.path}-wal")
    before = log.stat()
    for _ in range(5):
        assert broker.tend() is None
        assert broker.lease(["q"], 10, 10.0) == []
    assert log.stat().st_mtime_ns == before.st_mtime_ns


def test_the_log_stays_bounded(broker, message):
    for _ in range(60):
        broker.publish([message() for _ in range(500)])
        finish(broker)
    assert Path(f"{broker.engine.location.path}-wal").stat().st_size <= 32 * 1024 * 1024


@pytest.mark.parametrize(
    "name", ["next_ready", "end_leases", "ready_delayed", "prune_done", "purge"]
)
def test_hot_statements_read_only_the_index_of_their_state(broker, name):
    from penstock.brokers.sqlite_claim import SQL

    sql = getattr(SQL, name)
    values = [None] * max(n for n in range(1, 15) if f"?{n}" in sql)
    explain = Exchange(
        "explain", lambda c: [row[3] for row in c.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    )
    plan = broker.engine.execute(explain)
    assert any("INDEX message_" in step for step in plan)
    assert not any("SCAN message" in step or "TEMP B-TREE" in step for step in plan)


def test_the_banner_can_say_how_durable_it_is(url):
    from penstock.brokers.registry import open_broker

    full, process = open_broker(url), open_broker(url.replace("jobs", "p") + "?durability=process")
    assert full.capabilities.durable.endswith("and a power loss")
    assert "a power loss may take" in process.capabilities.durable
    full.close()
    process.close()


def test_a_clock_set_forward_brings_nothing_back(broker, message, clock):
    sent = message()
    broker.publish([sent])
    (lease,) = broker.lease(["q"], 1, 10.0)
    assert broker.settle([Done(lease)]) == []
    clock.jump(86_400.0)
    broker.tend()
    broker.publish([sent])
    assert broker.lease(["q"], 1, 10.0) == []
    assert broker.settle([Done(lease)]) == []


def test_tombstones_of_an_earlier_boot_go(broker, message, clock):
    clock.advance(100_000)
    broker.publish([message()])
    finish(broker)
    clock.reboot()
    broker.tend()
    assert count(broker, "message") == 0
