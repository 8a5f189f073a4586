"""Processes that are killed: nobody else is held up, and nothing gets lost but what they held."""

import asyncio
import random
import signal

import pytest

from process_queues import Child, children, forever, until, waiting
from thread_queues import Call


def hold(queue):
    """Take one and keep it."""
    queue.get()
    signal.pause()


def test_a_consumer_that_holds_an_item(make):
    queue = make()
    queue.put("lost")
    queue.put("kept")
    with Child(hold, queue) as child:
        until(lambda: queue.qsize() == 1)
        joined = Call(queue.join)
        child.kill()
    assert queue.get() == "kept"
    queue.task_done()
    joined.result()  # notices by itself
    facts = queue.statistics()
    assert (facts["lost"], facts["unfinished"], facts["processes"]) == (1, 0, 1)


def test_a_task_that_joins_notices_too(queue):
    async def main():
        queue.put("lost")
        with Child(hold, queue) as child:
            await asyncio.to_thread(until, queue.empty)
            task = asyncio.create_task(queue.ajoin())
            await asyncio.sleep(0)
            child.kill()
        await asyncio.wait_for(task, 20)

    asyncio.run(main())
    assert queue.statistics()["lost"] == 1


def test_a_consumer_that_reported_all_lost_nothing(make):
    queue, done = make(), make()

    def work():
        queue.get()
        queue.task_done()
        done.put(1)
        signal.pause()

    queue.put(1)
    with Child(work) as child:
        done.get(timeout=20)
        child.kill()
    assert queue.join(5)
    assert queue.statistics()["lost"] == 0


def test_a_consumer_that_never_reports_was_done_with_all_but_the_last(make):
    queue, done = make(), make()

    def work():
        for _ in range(3):
            queue.get()
        done.put(1)
        signal.pause()

    queue.put_many(range(3))
    with Child(work) as child:
        done.get(timeout=20)
        child.kill()
    assert queue.join(5)
    assert queue.statistics()["lost"] == 1


@pytest.mark.parametrize("method", ["get", "get_many"])
def test_a_consumer_that_only_waits(make, method):
    queue = make()
    for _ in range(5):
        with children(3, getattr(queue, method), *([2] if method == "get_many" else [])) as waiters:
            waiting(queue, get=3)
            waiters[0].kill()
            waiters[1].kill()
            queue.put("item")
            assert waiters[2].code() == 0
    queue.put("for us")
    assert queue.get(timeout=20) == "for us"


def test_a_producer_that_only_waits(make):
    queue = make(1)
    queue.put(0)
    for _ in range(5):
        with children(3, queue.put, 1) as waiters:
            waiting(queue, put=3)
            waiters[0].kill()
            waiters[1].kill()
            assert queue.get(timeout=20) in {0, 1}
            assert waiters[2].code() == 0
    assert queue.qsize() == 1


def test_a_joiner(queue):
    queue.put(1)
    with Child(queue.join) as child:
        until(lambda: queue.statistics()["processes"] == 2)
        child.kill()
    queue.get()
    queue.task_done()
    queue.join()


def test_a_task_that_waits(queue):
    with Child(lambda: asyncio.run(queue.aget())) as child:
        waiting(queue, get=1)
        child.kill()
    queue.put(1)
    assert queue.get(timeout=20) == 1


def test_producers_in_the_middle(make):
    """What they put is there from the first to the last, each whole."""
    queue = make(max_bytes=16_384)
    seeds = random.Random(7)

    def produce(number):
        for count in range(10**9):
            queue.put((number, count, bytes([count % 256]) * (count % 3000)))

    for number in range(12):
        following = 0
        with Child(produce, number) as child:
            for _ in range(seeds.randrange(1, 60)):
                found = queue.get(timeout=20)
                following = check(found, number, following)
            child.kill()
        while not queue.empty():
            following = check(queue.get(timeout=20), number, following)


def check(found, number, following):
    assert found == (number, following, bytes([following % 256]) * (following % 3000))
    return following + 1


def test_consumers_in_the_middle(make):
    """Each item goes to one of them, or to us; at most one a death is in nobody's hands."""
    queue, taken = make(), make(max_bytes=1 << 20)

    def consume():
        taken.put(queue.get())

    total, deaths = 0, 12
    for _ in range(deaths):
        with Child(forever, consume) as child:
            before = taken.qsize()
            queue.put_many(range(total, total + 50))
            total += 50
            until(lambda before=before: taken.qsize() > before + 5)
            child.kill()
    left = queue.get_many(total) if queue.qsize() else []
    found = [*taken.get_many(total), *left]
    assert len(set(found)) == len(found)
    assert total - deaths <= len(found) <= total


def test_a_storm(make):
    """Everybody puts and gets; whoever is killed is replaced; who is left always goes on."""
    queue = make(20, max_bytes=16_384)
    alive = make(max_bytes=1 << 20)
    seeds = random.Random(3)

    def work():
        marks = random.Random()
        while True:
            try:
                queue.put(bytes([7]) * marks.randrange(4000), timeout=0.01)
                item = queue.get(timeout=0.01)
                assert set(item) <= {7}, "a corrupt item"
                queue.task_done()
            except (LookupError, *QUEUE_ERRORS):
                continue
            finally:
                if alive.qsize() < 1000:
                    alive.put(1)

    with children(4, work) as workers:
        for _ in range(40):
            until(lambda: alive.qsize() > 5)
            victim = seeds.randrange(4)
            assert workers[victim].kill() == -signal.SIGKILL, "a worker failed by itself"
            workers[victim] = Child(work)
            alive.get_many(10_000)
        for worker in workers:
            worker.kill()
    while queue.qsize():
        assert set(queue.get(timeout=20)) <= {7}
        queue.task_done()
    assert queue.join(20)
    facts = queue.statistics()
    assert facts["puts"] == facts["gets"] == facts["done"] + facts["lost"]
    assert facts["lost"] <= 44
    assert facts["bytes_used"] == 0


QUEUE_ERRORS = (__import__("queue").Empty, __import__("queue").Full)
