"""task_done and join."""

import pytest

from thread_queues import Call, in_line, until, waiting


def test_join_returns_at_once_when_nothing_was_put(kind):
    kind().join()


def test_join_waits_for_the_last_task_done(kind):
    queue = kind()
    queue.put_many([1, 2])
    calls = in_line(queue, (queue.join,), (queue.join,))
    queue.get()
    queue.get()
    queue.task_done()
    assert all(call.is_alive() for call in calls)
    assert queue.unfinished_tasks == 1
    queue.task_done()
    for call in calls:
        call.result()


def test_join_goes_on_waiting_for_what_is_put_meanwhile(kind):
    queue = kind()
    queue.put(1)
    [call] = in_line(queue, (queue.join,))
    queue.put(2)
    queue.get()
    queue.task_done()
    waiting(queue, 1)
    queue.get()
    queue.task_done()
    call.result()


def test_workers_and_a_joiner(kind):
    queue, done = kind(), []

    def work():
        for item in queue:
            done.append(item)
            queue.task_done()

    workers = [Call(work) for _ in range(3)]
    queue.put_many(range(200))
    queue.join()
    assert sorted(done) == list(range(200))
    queue.shutdown()
    for worker in workers:
        worker.result()


def test_one_call_for_a_batch(kind):
    queue = kind()
    queue.put_many(range(5))
    queue.task_done(count=len(queue.get_many(3)))
    assert queue.unfinished_tasks == 2


def test_too_many_times(kind):
    queue = kind()
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()
    queue.put_many([1, 2])
    with pytest.raises(ValueError, match="2 items are unfinished"):
        queue.task_done(3)
    queue.task_done(2)
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()


def test_a_queue_may_be_joined_again(kind):
    queue = kind()
    for item in range(3):
        queue.put(item)
        [call] = in_line(queue, (queue.join,))
        queue.get()
        queue.task_done()
        call.result()
    until(lambda: queue.unfinished_tasks == 0)
