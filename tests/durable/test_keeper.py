"""The thread that renews: a broker that is down, a queue that is forgotten."""

import gc
import threading
import time

import pytest

from penstock import Unavailable
from penstock.brokers.memory import MemoryBroker
from penstock.durable.queue import DurableQueue
from penstock.durable.rules import Rules
from penstock.testing.conformance.durable_stage import Signals


class Shaky(MemoryBroker):
    """A broker that can be down for renewals."""

    down = False

    def extend(self, leases, ttl):
        if self.down:
            raise Unavailable("the broker is down")
        return super().extend(leases, ttl)


def keepers():
    return [thread for thread in threading.enumerate() if thread.name == "penstock-keeper"]


def test_a_broker_that_is_down_for_a_while_costs_no_lease(caplog):
    broker = Shaky()
    with DurableQueue(broker=broker, name="q", rules=Rules(lease=1.0)) as queue:
        queue.put(1)
        item = queue.get()
        with Signals("durable.not_renewed", "durable.renewed") as signals:
            broker.down = True
            signals.wait("durable.not_renewed", times=2)
            broker.down = False
            signals.wait("durable.renewed")
        queue.task_done(item)
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [
        "items that are held here could not be renewed, trying again: the broker is down"
    ]


def test_closing_ends_the_thread():
    with DurableQueue(broker=MemoryBroker(), name="q") as queue:
        queue.put(1)
        queue.get()
        assert len(keepers()) == 1
    assert keepers() == []


def test_a_queue_that_is_forgotten_ends_its_thread():
    queue = DurableQueue(broker=MemoryBroker(), name="q", rules=Rules(lease=0.1))
    queue.put(1)
    queue.get()
    (thread,) = keepers()
    del queue
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_a_block_that_runs_on_after_closing_is_renewed():
    broker, name = MemoryBroker(), "q"
    queue = DurableQueue(broker=broker, name=name, rules=Rules(lease=0.2))
    queue.put(1)
    with queue.take(), Signals("durable.renewed") as signals:
        queue.close()
        signals.wait("durable.renewed", times=7)
    with DurableQueue(broker=MemoryBroker(engine=broker.engine), name=name) as other:
        assert other.unfinished() == 0


def test_code_that_keeps_the_interpreter_for_shorter_than_a_lease_loses_nothing():
    with DurableQueue(broker=MemoryBroker(), name="q", rules=Rules(lease=0.4)) as queue:
        queue.put(1)
        item = queue.get()
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:  # computes, without ever waiting for anything
            sum(range(1_000))
        queue.task_done(item)
        assert queue.statistics()["lost"] == 0


@pytest.fixture(autouse=True)
def _no_keeper_is_left():
    yield
    for thread in keepers():
        thread.join(5)
    assert keepers() == []
