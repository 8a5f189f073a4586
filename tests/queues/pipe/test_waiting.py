"""poll, fileno, selectors and multiprocessing.connection.wait."""

import multiprocessing
import multiprocessing.connection
import random
import selectors
import time

import pytest

import pipe_calls
from penstock.errors import PeerDied


def readable(end):
    with selectors.DefaultSelector() as selector:
        selector.register(end, selectors.EVENT_READ)
        return bool(selector.select(0))


def test_poll_looks(pair):
    left, right = pair
    assert right.poll() is False
    assert right.poll(0) is False
    assert right.poll(-1) is False
    left.send(1)
    assert right.poll() is True
    assert right.poll(None) is True
    assert right.recv() == 1
    assert not right.poll()


def test_poll_waits_for_as_long_as_it_is_told(pair):
    began = time.monotonic()
    assert pair[1].poll(0.02) is False
    assert 0.015 < time.monotonic() - began < 5


@pytest.mark.parametrize("timeout", [None, 10, 10.0])
def test_poll_ends_when_something_comes(pair, timeout):
    left, right = pair
    call = pipe_calls.Call(right.poll, timeout)
    pipe_calls.until(lambda: pipe_calls.asleep(call.native_id))
    left.send(1)
    assert call.result() is True


def test_the_end_is_something_to_receive(pair):
    left, right = pair
    call = pipe_calls.Call(right.poll, None)
    left.close()
    assert call.result() is True
    assert right.poll()
    assert readable(right)
    with pytest.raises(PeerDied):
        right.recv()


def test_poll_refuses_what_is_no_time(pair):
    with pytest.raises(TypeError):
        pair[0].poll("1")
    with pytest.raises(ValueError, match="not a number"):
        pair[0].poll(float("nan"))


def test_a_socket_tells_what_was_sent_before_anybody_asked(pair):
    left, right = pair
    left.send(1)
    left.send(2)
    assert readable(right)
    right.recv()
    assert readable(right)
    right.recv()
    assert not readable(right)


def test_a_socket_tells_the_truth_whatever_happens(pair):
    left, right = pair
    dice = random.Random(5)
    there = 0
    with selectors.DefaultSelector() as selector:
        selector.register(right, selectors.EVENT_READ)
        for _ in range(2000):
            if there and dice.random() < max(0.5, there / 20):
                there -= len(right.recv_many(dice.randrange(1, 4)))
            elif dice.random() < 0.1:
                assert right.poll() is bool(there)
            else:
                items = [b"x" * dice.randrange(3000)] * dice.randrange(1, 3)
                left.send_many(items)
                there += len(items)
            assert bool(selector.select(0)) is bool(there)


def test_who_trusts_the_socket_never_waits_in_vain(pair):
    left, right = pair
    count = 3000

    def send():
        dice = random.Random(3)
        for i in range(count):
            left.send(i)
            if dice.random() < 0.02:
                time.sleep(dice.random() / 1000)

    call = pipe_calls.Call(send)
    with selectors.DefaultSelector() as selector:
        selector.register(right, selectors.EVENT_READ)
        for i in range(count):
            assert selector.select(20)
            assert right.poll(), "readable, and nothing there"
            assert right.recv() == i
    call.result()


def test_writability(pair, one_way):
    with selectors.DefaultSelector() as selector:
        for end in (pair[0], one_way[1]):
            selector.register(end, selectors.EVENT_WRITE)
        assert len(selector.select(0)) == 2
    assert not readable(one_way[1])


def test_wait_with_ours_and_theirs(make_pipe):
    ours = [make_pipe() for _ in range(3)]
    theirs = [multiprocessing.Pipe() for _ in range(2)]
    ends = [right for _, right in [*ours, *theirs]]
    wait = multiprocessing.connection.wait
    assert wait(ends, 0) == []
    ours[1][0].send(1)
    theirs[0][0].send(2)
    assert set(wait(ends, 10)) == {ours[1][1], theirs[0][1]}
    assert (ours[1][1].recv(), theirs[0][1].recv()) == (1, 2)
    assert wait(ends, 0) == []
    call = pipe_calls.Call(wait, ends)
    pipe_calls.until(lambda: pipe_calls.asleep(call.native_id))
    ours[2][0].send(3)
    assert call.result() == [ours[2][1]]
    ours[0][0].close()
    assert set(wait(ends, 10)) == {ours[0][1], ours[2][1]}
    for left, right in theirs:
        left.close()
        right.close()


def test_an_idle_end_sleeps_at_its_socket_and_wakes(pair, core):
    """The third way of waiting, after spinning and the futex: no time limit, no polling."""
    left, right = pair
    if core == "native":
        call = pipe_calls.Call(right.recv)
        pipe_calls.until(lambda: right.statistics()["slept_at_socket"])
        for i in range(3):
            left.send(i)
        assert call.result() == 0
        assert (right.recv(), right.recv()) == (1, 2)


def test_threads_wait_and_select_at_once(pair):
    left, right = pair
    received = []

    def receive():
        while (item := right.recv()) is not None:
            received.append(item)

    call = pipe_calls.Call(receive)
    for i in range(50):
        left.send(i)
        if i % 10 == 0:
            right.fileno()
            readable(right)
    left.send(None)
    call.result()
    assert received == list(range(50))
    assert not readable(right)
