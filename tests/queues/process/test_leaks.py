"""Nothing is left: descriptors, threads, memory, files."""

import asyncio
import gc
import os
import threading
from contextlib import suppress

import pytest

from penstock.errors import ConfigError, Empty
from penstock.queues.places import private_folder
from process_queues import Child, until


def used():
    gc.collect()
    with open("/proc/self/maps") as maps:
        mapped = sum("penstock" in line for line in maps if "/penstock-" in line or "memfd" in line)
    return len(os.listdir("/proc/self/fd")), threading.active_count(), mapped


@pytest.fixture
def steady(kind):
    """What is in use once everything was used that is made only once."""
    with kind(max_bytes=4096) as queue:
        queue.put(1)
    return used()


def test_many_queues(kind, name, steady):
    for number in range(50):
        with kind(max_bytes=4096) as queue, kind(name=name, max_bytes=4096) as other:
            queue.put(number)
            other.put(bytes(10_000))
            assert len(other.get()) == 10_000
    assert used() == steady


def test_queues_that_are_forgotten(kind, name, steady):
    for _ in range(20):
        kind(max_bytes=4096).put(1)
        kind(name=name, max_bytes=4096).put(1)
    assert used() == steady
    assert not os.path.exists(f"{private_folder().path}/queue.{name}")


def test_queues_that_could_not_be_made(kind, name, steady):
    with kind(5, name, max_bytes=4096):
        for _ in range(20):
            with suppress(ConfigError):
                kind(6, name)
    assert used() == steady


def test_tasks(kind, steady):
    async def main(queue):
        for _ in range(5):
            with suppress(Empty):
                await queue.aget(timeout=0.001)
        await queue.aput(1)
        await queue.aget()

    for _ in range(5):
        with kind(max_bytes=4096) as queue:
            asyncio.run(main(queue))
    assert used() == steady


def test_a_child_that_is_forked_while_tasks_wait(kind, steady):
    async def main(queue):
        task = asyncio.create_task(queue.aget())
        await asyncio.sleep(0)
        child = Child(in_the_child)
        assert child.code() == 0
        assert await task == "from the child"

    def in_the_child():
        assert not [one for one in threading.enumerate() if one.name.startswith("penstock-")]
        asyncio.set_event_loop(None)
        asyncio._set_running_loop(None)
        asyncio.run(queue.aput("from the child"))
        queue.close()

    with kind(max_bytes=4096) as queue:
        asyncio.run(main(queue))
    assert used() == steady


def test_many_forks_with_a_queue_that_is_in_use(kind, steady):
    """The parent's threads are inside the queue at any moment when it forks."""
    with kind(10, max_bytes=16_384) as queue, kind(max_bytes=65_536) as answers:
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                queue.put(1)
                queue.get()

        threads = [threading.Thread(target=busy) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            with Child(lambda: (queue.put(1), queue.get(), answers.put("fine"))) as child:
                assert child.code() == 0
        stop.set()
        for thread in threads:
            thread.join()
        assert len(answers.get_many(200)) == 100
        assert queue.empty()
        until(lambda: queue.statistics()["processes"] == 1)
    assert used() == steady


def test_more_processes_than_there_are_places_for_come_and_go(kind):
    with kind(max_bytes=65_536) as queue:
        for number in range(150):
            assert Child(queue.put, number).code() == 0
        assert queue.get_many(200) == list(range(150))
        assert queue.statistics()["processes"] == 1
