"""send_many and recv_many."""

import time

import pytest

import pipe_calls
from penstock.errors import PeerDied


def test_a_batch_arrives_in_order(pair):
    left, right = pair
    items = [1, "two", b"three", [4], None, 5.0, "x" * 5000, {"six": 6}]
    left.send_many(items)
    assert right.recv_many() == items


def test_a_batch_larger_than_the_pipe(pair):
    left, right = pair
    items = [i if i % 3 else b"x" * 2000 if i % 50 else ["y" * 300_000] for i in range(3000)]
    call = pipe_calls.Call(left.send_many, iter(items))
    received = []
    while len(received) < len(items):
        received += right.recv_many(700)
    assert received == items
    call.result()


def test_the_limit_is_kept_and_nothing_is_lost_between_calls(pair):
    left, right = pair
    left.send_many(range(100))
    assert right.recv_many(1) == [0]
    assert right.recv_many(limit=30) == list(range(1, 31))
    assert right.recv() == 31
    assert right.recv_many() == list(range(32, 100))


def test_it_waits_for_the_first_only(pair):
    left, right = pair
    call = pipe_calls.Call(right.recv_many, 10)
    pipe_calls.until(lambda: pipe_calls.asleep(call.native_id))
    left.send("one")
    assert call.result() == ["one"]


def test_it_waits_for_as_long_as_it_is_told(pair):
    _, right = pair
    assert right.recv_many(timeout=0) == []
    began = time.monotonic()
    assert right.recv_many(5, 0.02) == []
    assert 0.015 < time.monotonic() - began < 5


def test_what_was_sent_before_the_end_comes_before_the_end(pair):
    left, right = pair
    left.send_many([1, 2])
    left.close()
    assert right.recv_many() == [1, 2]
    with pytest.raises(PeerDied):
        right.recv_many()


@pytest.mark.parametrize("limit", [0, -1, 1.5, "x"])
def test_bad_limits(pair, limit):
    with pytest.raises((ValueError, TypeError)):
        pair[1].recv_many(limit)


def test_an_empty_batch_is_nothing(pair):
    left, right = pair
    left.send_many([])
    assert not right.poll()


def test_an_item_that_cannot_be_pickled_sends_nothing_of_the_batch(pair):
    left, right = pair
    with pytest.raises((AttributeError, TypeError)):
        left.send_many([1, lambda: None, 3])
    with pytest.raises(TypeError):
        left.send_many(3)
    assert not right.poll()


def fail(*_):
    raise ZeroDivisionError


class Bad:
    def __reduce__(self):
        return fail, ()


def test_an_item_that_cannot_be_unpickled_takes_no_other_along(pair):
    left, right = pair
    left.send_many([1, 2, Bad(), Bad(), 3, b"x" * 5000, Bad(), 4])
    assert right.recv_many() == [1, 2]
    assert right.poll()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            right.recv_many()
    assert right.recv_many() == [3, b"x" * 5000]
    with pytest.raises(ZeroDivisionError):
        right.recv()
    assert right.recv_many(timeout=0) == [4]


def test_batches_and_single_calls_mix(pair):
    left, right = pair
    left.send_many([1, 2])
    left.send_bytes(b"\x80\x05K\x03.")  # the pickle of 3
    left.send_many(["4"])
    assert right.recv() == 1
    assert right.recv_many() == [2, 3, "4"]
