"""maxsize, max_bytes, and the counts, which are exact."""

import sys

import pytest

from penstock.errors import ConfigError, Full


def test_counts_are_exact(make):
    queue = make(3)
    assert (queue.qsize(), queue.empty(), queue.full()) == (0, True, False)
    queue.put(1)
    queue.put(2)
    assert (queue.qsize(), queue.empty(), queue.full()) == (2, False, False)
    queue.put(3)
    assert (queue.qsize(), queue.empty(), queue.full()) == (3, False, True)
    queue.get()
    assert (queue.qsize(), queue.empty(), queue.full()) == (2, False, False)


def test_full_of_bytes(make):
    queue = make(max_bytes=4096)
    while not queue.full():
        queue.put_nowait(7)
    with pytest.raises(Full):
        queue.put_nowait(7)
    queue.get()
    queue.get()
    assert not queue.full()
    queue.put_nowait(7)


@pytest.mark.parametrize("maxsize", [0, -1, -5, sys.maxsize])
def test_no_bound(make, maxsize):
    queue = make(maxsize)
    assert queue.maxsize == max(0, maxsize)
    queue.put_many(range(1000))
    assert queue.qsize() == 1000
    assert not queue.full()


@pytest.mark.parametrize("maxsize", [1.5, "3", None, [1], 2.0])
def test_maxsize_is_a_whole_number(kind, maxsize):
    with pytest.raises(TypeError, match="maxsize"):
        kind(maxsize)
    with pytest.raises(TypeError, match="max_bytes"):
        kind(max_bytes="64 KiB")


@pytest.mark.parametrize("options", [{"maxsize": 2**63}, {"max_bytes": 0}, {"max_bytes": 1 << 40}])
def test_sizes_that_cannot_be(kind, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        kind(**options)


def test_what_counts_as_a_whole_number(make):
    class Number:
        def __index__(self):
            return 2

    assert make(Number()).maxsize == 2
    assert make(True).maxsize == 1


def test_max_bytes_is_whole_pages(make):
    assert make(max_bytes=1).max_bytes == 4096
    assert make(max_bytes=5000).max_bytes == 8192


def test_the_default(kind):
    with kind() as queue:
        assert (queue.maxsize, queue.max_bytes) == (0, 4 << 20)


def test_statistics(make):
    queue = make(5)
    queue.put_many("abc")
    queue.get()
    queue.task_done()
    facts = queue.statistics()
    expected = {
        "implementation": queue.core,
        "puts": 3,
        "gets": 1,
        "size": 2,
        "done": 1,
        "unfinished": 2,
        "lost": 0,
        "dropped": 0,
        "spilled": 0,
        "waiting_get": 0,
        "waiting_put": 0,
        "maxsize": 5,
        "max_bytes": 65536,
        "processes": 1,
    }
    assert {key: facts[key] for key in expected} == expected
    assert 0 < facts["bytes_used"] < 200
    assert queue.get_many(5) == ["b", "c"]
    assert queue.statistics()["bytes_used"] == 0


def test_both_cores_tell_the_same(make):
    assert list(make().statistics()) == [
        *["implementation", "puts", "gets", "size", "done", "unfinished", "lost", "dropped"],
        *["spilled", "waiting_get", "waiting_put", "bytes_used"],
        *["maxsize", "max_bytes", "processes"],
    ]
