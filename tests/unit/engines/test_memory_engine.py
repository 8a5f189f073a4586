import asyncio
import os
import threading

import pytest

from penstock.brokers.memory import MemoryBroker
from penstock.brokers.registry import open_broker
from penstock.clock import ManualClock
from penstock.engines.memory import MemoryEngine, named_engine
from penstock.errors import NameTaken
from penstock.message import Done, Message, Record, new_id
from penstock.plan import Exchange, drive, together
from penstock.results.memory import MemoryStore
from penstock.results.registry import open_store


def message(queue="q", **fields):
    return Message(id=new_id(), queue=queue, headers={}, body=b"", **fields)


def test_one_name_is_one_broker_and_store():
    name = new_id()
    first, second = open_broker(f"memory://{name}"), open_broker(f"memory://{name}")
    first.publish([message()])
    assert len(second.lease(["q"], 1, 60)) == 1
    assert first.keeps_records_of(open_store(f"memory://{name}"))


def test_another_name_is_another():
    first, second = open_broker(f"memory://{new_id()}"), open_broker(f"memory://{new_id()}")
    first.publish([message()])
    assert second.lease(["q"], 1, 60) == []
    assert not first.keeps_records_of(open_store(f"memory://{new_id()}"))


def test_what_a_name_holds_outlives_its_clients():
    name = new_id()
    open_broker(f"memory://{name}").publish([message()])
    assert open_broker(f"memory://{name}").depth("q") == 1


def test_settling_and_leasing_share_one_exchange():
    broker = MemoryBroker()
    broker.publish([message(), message()])
    (lease,) = broker.lease(["q"], 1, 60)
    names = []

    class Watched(MemoryEngine):
        def execute(self, command):
            names.append(command.name)
            return broker.engine.execute(command)

    drive(together(broker._settle([Done(lease)]), broker._lease(["q"], 1, 60, 0)), Watched())
    assert names == ["settle+lease"]


def test_an_exchange_that_raises_rings_nothing_and_frees_the_lock():
    engine = MemoryEngine()

    def fail(state):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.execute(Exchange("fail", fail, rings=("done",)))
    assert engine.execute(Exchange("look", lambda state: 1)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_starts_empty_even_while_the_lock_is_held():
    name = new_id()
    broker = open_broker(f"memory://{name}")
    broker.publish([message()])
    held, release = threading.Event(), threading.Event()

    def hold(state):
        held.set()
        release.wait(10)

    holder = threading.Thread(target=lambda: broker.engine.execute(Exchange("hold", hold)))
    holder.start()
    held.wait()
    child = os.fork()
    if not child:
        empty = broker.depth("q") == 0 and named_engine(name) is broker.engine
        broker.publish([message()])
        os._exit(0 if empty and broker.depth("q") == 1 else 1)
    release.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert broker.depth("q") == 1


def test_the_name_of_a_worker_that_is_no_more_is_free():
    engine = MemoryEngine()
    gone, other = MemoryBroker(engine=engine), MemoryBroker(engine=engine)
    gone.enrol("w", {})
    with pytest.raises(NameTaken):
        other.enrol("w", {})
    del gone
    other.enrol("w", {})


def test_memory_stays_bounded_while_tasks_come_and_go():
    clock = ManualClock()
    engine = MemoryEngine()
    broker = MemoryBroker(engine=engine, clock=clock)
    for number in range(2_000):
        queue = f"q{number}"
        broker.publish([message(queue)])
        (lease,) = broker.lease([queue], 1, 15)
        record = Record(lease.message.id, "SUCCESS", b"", lease.message.key, 1, final=True, ttl=60)
        broker.settle([Done(lease, record)])
        clock.advance(10)
        broker.tend()
    messages, records = engine.state.messages, engine.state.records
    assert len(messages._known) == len(messages._leased) == len(messages._lines) == 0
    assert len(messages._settled) <= 61
    assert len(messages._claims) <= 1_024
    assert len(records._records) <= 7


def test_a_batch_with_a_message_that_has_no_place_is_refused_whole():
    broker = MemoryBroker()
    with pytest.raises(TypeError):
        broker.publish([message(), message(priority=None)])
    assert broker.queues() == []
    assert broker.lease(["q"], 5, 60) == []


def test_no_wait_leaves_a_listener_behind():
    engine = MemoryEngine()
    broker, store = MemoryBroker(engine=engine), MemoryStore(engine=engine)

    async def cancel(call):
        waiting = asyncio.create_task(call)
        await asyncio.sleep(0)
        assert engine._bells._ears
        waiting.cancel()
        await asyncio.wait([waiting])

    broker.lease(["q"], 1, 60, 0.01)
    store.wait(["id"], 0.01)
    asyncio.run(cancel(broker.alease(["q"], 1, 60, 10)))
    asyncio.run(cancel(store.await_(["id"], 10)))
    assert engine._bells._ears == {}
