"""Failures that task queues have shipped, those that no other part of the tests has as its own.

`docs/faults.md` has the table of all of them; what it names is there.
"""

import os
import re
import time
from pathlib import Path

import pytest

from penstock.brokers.registry import open_broker
from penstock.errors import BrokerError
from penstock.message import Done, Message, new_id, new_ids
from storm_sites import site
from workers import wait_for

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("FAULTS") == "full"
SHAPES = 16
MANY = 20_000  # Lua's unpack takes some 8,000


def message(**fields):
    task_id = new_id()
    return Message(
        id=task_id, queue="q", headers={"task": "t", "id": task_id}, body=b"[]", **fields
    )


# --- a heartbeat that the task itself can hold up -------------------------------------------


@pytest.mark.parametrize("pool", ["threads", "prefork"] if FULL else ["threads"])
def test_a_task_that_keeps_the_interpreter_to_itself_keeps_its_lease(bench, pool):
    """For longer than a lease nothing else of its process runs; another worker is idle."""
    tasks = bench.tasks("""
        import ctypes
        app.conf.lease_time = 2.5

        @app.task
        def hold():
            note("began")
            ctypes.PyDLL(None).usleep(4_000_000)  # without letting go of it
            note("ended")
    """)
    bench.worker("-P", pool, "-c", "1", "-n", "one")
    bench.worker("-P", pool, "-c", "1", "-n", "two")
    tasks.hold.delay().get(timeout=30)
    assert bench.journal() == ["began", "ended"]


# --- a restart of the server hides what is delayed ------------------------------------------


@pytest.mark.parametrize("name", ["redis", "postgres", "rabbitmq"] if FULL else ["redis"])
def test_what_is_delayed_is_due_at_its_time_after_a_restart(name, tmp_path):
    with site(name, tmp_path) as place:
        broker = open_broker(place.url)
        due = time.time() + 1.5
        late = message(ready_at=due)
        broker.publish([late])
        place.server.kill()
        place.server.start()
        (lease,) = wait_for(lambda: _leased(broker), timeout=30)  # and not the hours of others
        assert time.time() >= due
        # A classic queue of RabbitMQ's says of all that it held that it was given out before.
        attempts = {1, 2} if name == "rabbitmq" else {1}
        assert (lease.message.id, lease.deaths) == (late.id, 0)
        assert lease.attempt in attempts
        assert broker.settle([Done(lease)]) == []
        broker.close()


def _leased(broker):
    try:
        broker.tend()
        return broker.lease(["q"], 5, 30.0)
    except BrokerError:  # its line broke with the server
        return None


# --- more at once than a script takes -------------------------------------------------------


def test_a_batch_beyond_what_lua_unpacks(redis_url):
    broker = open_broker(redis_url)
    sent = [message(key=key) for key in new_ids(MANY)]
    broker.publish(sent)
    broker.revoke([one.id for one in sent[: MANY // 2]], 60.0)
    leases = []
    while more := broker.lease(["q"], MANY, 60.0):
        leases += more
    assert len({lease.message.key for lease in leases}) == MANY
    assert sum(lease.revoked for lease in leases) == MANY // 2
    assert len(broker.extend(leases, 60.0)) == MANY
    assert broker.settle([Done(lease) for lease in leases]) == []
    assert broker.depth("q") == 0
    broker.close()


# --- the table ------------------------------------------------------------------------------


def rows():
    """Of the table: number, and (file, name of the test) of each that it names."""
    text = (ROOT / "docs" / "faults.md").read_text("utf-8")
    for line in text.splitlines():
        if found := re.match(r"\| (\d+) \|", line):
            yield int(found[1]), re.findall(r"`([\w/]+\.py)::(\w+)`", line)


def test_the_table_has_every_shape():
    assert [number for number, _ in rows()] == list(range(1, SHAPES + 1))


@pytest.mark.parametrize("number", range(1, SHAPES + 1))
def test_each_shape_has_the_tests_that_the_table_names(number):
    named = dict(rows())[number]
    assert named
    for file, test in named:
        place = ROOT / file
        assert place.is_file(), file
        assert re.search(rf"^ *(async )?def {test}\(", place.read_text("utf-8"), re.MULTILINE), test
