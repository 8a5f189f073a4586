"""task_done and join, as queue.Queue and multiprocessing.JoinableQueue have them."""

import pytest

from process_queues import Child, until
from thread_queues import Call


def test_join_waits_for_all(queue):
    queue.put_many(range(3))
    joined = Call(queue.join)
    for _ in range(3):
        assert joined.is_alive()
        queue.get()
        queue.task_done()
    joined.result()


def test_joining_an_unused_queue(queue):
    assert queue.join() is True


def test_joining_again(queue):
    for _ in range(2):
        queue.put(1)
        queue.get()
        queue.task_done()
        queue.join()


def test_join_within_a_time(queue):
    queue.put(1)
    assert queue.join(0) is False
    assert queue.join(timeout=0.01) is False
    queue.get()
    queue.task_done()
    assert queue.join(0) is True


def test_several_at_once(queue):
    queue.put_many(range(5))
    queue.task_done(4)
    assert queue.unfinished() == 1
    queue.task_done(count=1)
    assert queue.join(0)


def test_too_many(queue):
    with pytest.raises(ValueError, match="too many"):
        queue.task_done()
    queue.put(1)
    with pytest.raises(ValueError, match="too many"):
        queue.task_done(2)
    assert queue.unfinished() == 1
    queue.task_done()
    with pytest.raises(ValueError, match="too many"):
        queue.task_done()


def test_a_count_is_a_number_that_is_not_negative(queue):
    queue.put(1)
    queue.task_done(0)
    with pytest.raises(ValueError, match="count"):
        queue.task_done(-1)
    with pytest.raises(TypeError):
        queue.task_done("one")
    assert queue.unfinished() == 1


def test_one_process_may_report_what_another_took(make):
    queue, back = make(), make()
    queue.put_many("ab")
    with Child(lambda: (back.put(queue.get()), back.put(queue.get()), queue.join())) as child:
        until(lambda: back.qsize() == 2)
        queue.task_done(2)
        assert child.code() == 0
    assert queue.join(0)
    assert queue.statistics()["lost"] == 0


def test_who_never_reports_is_done_when_it_leaves(queue):
    queue.put_many("abc")

    def take_all():
        assert queue.get_many(3) == ["a", "b", "c"]
        queue.close()

    assert Child(take_all).code() == 0
    assert queue.join(5)
    assert queue.statistics()["lost"] == 0


def test_joining_from_several_processes(make):
    queue = make()
    queue.put(1)
    with Child(queue.join) as first, Child(queue.join) as second:
        until(lambda: len(queue.processes()) == 3)
        queue.get()
        queue.task_done()
        assert first.code() == second.code() == 0
