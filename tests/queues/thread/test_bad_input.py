"""Wrong arguments: which error, and that nothing happened."""

import math

import pytest

from penstock.errors import ConfigError


@pytest.mark.parametrize("maxsize", ["10", 1.5, None, [], math.inf])
def test_maxsize_that_is_no_integer(kind, maxsize):
    with pytest.raises(ConfigError, match="'maxsize' must be an integer"):
        kind(maxsize)
    queue = kind(maxsize=3)
    with pytest.raises(ConfigError, match="no limit"):
        queue.maxsize = maxsize
    assert queue.maxsize == 3


def test_maxsize_may_be_whatever_is_an_integer(kind):
    class Three:
        def __index__(self):
            return 3

    assert kind(Three()).maxsize == 3
    assert kind(True).maxsize == 1


@pytest.mark.parametrize("timeout", [-1, -0.001, -math.inf, math.nan])
def test_timeouts_that_are_none(kind, timeout):
    queue = kind(1)
    calls = [
        lambda: queue.get(timeout=timeout),
        lambda: queue.get(True, timeout),
        lambda: queue.put(1, timeout=timeout),
        lambda: queue.put(1, True, timeout),
        lambda: queue.get_many(1, timeout=timeout),
        lambda: queue.put_many([1], timeout=timeout),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
            call()
    assert queue.empty()
    queue.put(1)
    for call in calls:
        with pytest.raises(ValueError, match="non-negative"):
            call()
    assert queue.qsize() == 1


def test_a_timeout_means_nothing_to_who_does_not_wait(kind):
    queue = kind()
    queue.put(1, False, -1)
    assert queue.get(False, -1) == 1


def test_types(kind):
    queue = kind()
    with pytest.raises(TypeError):
        queue.get(timeout="soon")
    with pytest.raises(TypeError):
        queue.put()
    with pytest.raises(TypeError):
        queue.put(1, True, None, "more")
    with pytest.raises(TypeError):
        queue.put(1, item=2)
    with pytest.raises(TypeError):
        queue.put(1, wait=True)
    with pytest.raises(TypeError):
        queue.get(True, None, lambda item: True)  # the predicate is given by name
    with pytest.raises(TypeError):
        queue.put_many(7)
    with pytest.raises(TypeError):
        queue.get_many("all")
    with pytest.raises(TypeError):
        kind(1, 2)
    assert queue.empty()


def test_counts(kind):
    queue = kind()
    queue.put_many([1, 2])
    for count in (0, -1):
        with pytest.raises(ValueError, match="1 or more"):
            queue.task_done(count)
    with pytest.raises(TypeError):
        queue.task_done("all")
    assert queue.unfinished_tasks == 2


def test_every_argument_has_its_name(kind):
    queue = kind(maxsize=5)
    queue.put(item=1, block=True, timeout=1)
    queue.put_many(items=[2], block=True, timeout=1)
    assert queue.get(block=True, timeout=1, match=lambda item: item == 1) == 1
    assert queue.get_many(limit=1, block=True, timeout=1) == [2]
    queue.task_done(count=2)
    queue.shutdown(immediate=False)
