"""shutdown, and shutdown(immediate=True)."""

import pytest

from penstock.errors import ShutDown
from thread_queues import Call, in_line, waiters, waiting


@pytest.mark.parametrize("immediate", [False, True])
def test_nothing_more_goes_in(kind, immediate):
    queue = kind()
    assert not queue.is_shutdown
    queue.shutdown(immediate)
    assert queue.is_shutdown
    for put in (queue.put, queue.put_nowait, lambda item: queue.put(item, timeout=0)):
        with pytest.raises(ShutDown, match="shut down"):
            put(1)
    with pytest.raises(ShutDown):
        queue.put_many([1])
    assert queue.qsize() == 0


def test_what_is_in_comes_out(kind):
    queue = kind()
    queue.put_many([1, 2, 3])
    queue.shutdown()
    assert sorted([queue.get(), queue.get_nowait(), *queue.get_many(5)]) == [1, 2, 3]
    for get in (queue.get, queue.get_nowait, lambda: queue.get(timeout=0)):
        with pytest.raises(ShutDown):
            get()
    with pytest.raises(ShutDown):
        queue.get_many(2)
    with pytest.raises(ShutDown):
        queue.get_many(2, block=False)


def test_immediately_nothing_is_left(kind):
    queue = kind()
    queue.put_many([1, 2, 3])
    queue.get()
    queue.shutdown(immediate=True)
    assert queue.empty()
    assert queue.unfinished_tasks == 1  # the one that was got
    with pytest.raises(ShutDown):
        queue.get()
    queue.task_done()
    queue.join()


@pytest.mark.parametrize("immediate", [False, True])
def test_waiting_getters_end(kind, immediate):
    queue = kind()
    calls = in_line(queue, (queue.get,), (queue.get, True, 60), (queue.get_many, 3))
    queue.shutdown(immediate)
    for call in calls:
        with pytest.raises(ShutDown):
            call.result()
    assert waiters(queue) == 0


@pytest.mark.parametrize("immediate", [False, True])
def test_waiting_putters_end(kind, immediate):
    queue = kind(1)
    queue.put(1)
    calls = in_line(queue, (queue.put, 2), (queue.put, 3, True, 60))
    queue.shutdown(immediate)
    for call in calls:
        with pytest.raises(ShutDown):
            call.result()
    assert queue.qsize() == (not immediate)


def test_joiners_wait_for_what_is_left(kind):
    queue = kind()
    queue.put_many([1, 2])
    [call] = in_line(queue, (queue.join,))
    queue.shutdown()
    queue.get()
    queue.task_done()
    waiting(queue, 1)
    queue.get()
    queue.task_done()
    call.result()


def test_joiners_do_not_wait_for_what_was_thrown_away(kind):
    queue = kind()
    queue.put_many([1, 2])
    [call] = in_line(queue, (queue.join,))
    queue.shutdown(immediate=True)
    call.result()


def test_joiners_wait_for_what_is_in_work(kind):
    queue = kind()
    queue.put_many([1, 2])
    queue.get()
    [call] = in_line(queue, (queue.join,))
    queue.shutdown(immediate=True)
    waiting(queue, 1)
    queue.task_done()
    call.result()


def test_shutting_down_again_and_harder(kind):
    queue = kind()
    queue.put_many([1, 2])
    queue.shutdown()
    queue.shutdown()
    assert queue.qsize() == 2
    queue.shutdown(immediate=True)
    queue.shutdown()
    assert queue.empty()
    queue.join()


def test_a_batch_cut_short_tells_how_far_it_came(kind):
    queue = kind(2)
    [call] = in_line(queue, (queue.put_many, [1, 2, 3, 4]))
    queue.shutdown()
    assert call.result() == 2
    assert sorted(queue.get_many(5)) == [1, 2]


def test_producers_and_consumers_all_end_and_nothing_is_lost(kind):
    for _ in range(20):
        queue = kind(5)

        def produce(first, queue=queue):
            count = 0
            try:
                for item in range(first, first + 1000):
                    queue.put(item)
                    count += 1
            except ShutDown:
                pass
            return count

        consumers = [Call(list, queue) for _ in range(3)]
        producers = [Call(produce, 1000 * number) for number in range(3)]
        Call(queue.shutdown).result()
        put = sum(producer.result() for producer in producers)
        got = [item for consumer in consumers for item in consumer.result()]
        assert len(got) == len(set(got)) == put
