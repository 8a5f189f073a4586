"""Threads at one end, messages larger than the pipe, and calls that are interrupted."""

import contextlib
import os
import signal
import threading
import time

import pytest

import pipe_calls
import pipe_children

LARGE = 3_000_000


def test_a_message_larger_than_the_pipe_is_passed_on_while_it_comes(pair):
    left, right = pair
    data = os.urandom(LARGE)
    for end, other in ((left, right), (right, left)):
        call = pipe_calls.Call(end.send, data)
        assert other.recv() == data
        call.result()


def test_both_directions_are_independent(pair):
    left, right = pair
    data = os.urandom(LARGE)
    calls = [pipe_calls.Call(left.send, data), pipe_calls.Call(right.send, data)]
    assert left.recv() == right.recv() == data
    for call in calls:
        call.result()


def test_a_sender_waits_for_room(pair):
    left, right = pair
    items = [b"x" * 1000] * 3000
    call = pipe_calls.Call(lambda: [left.send(item) for item in items])
    pipe_calls.until(lambda: pipe_calls.asleep(call.native_id))
    assert [right.recv() for _ in items] == items
    call.result()


def test_a_sender_that_waits_meets_the_close(pair):
    left, right = pair
    call = pipe_calls.Call(left.send, b"x" * LARGE)
    pipe_calls.until(lambda: pipe_calls.asleep(call.native_id))
    right.close()
    with pytest.raises(BrokenPipeError):
        call.result()


def test_threads_take_turns_at_both_ends(pair):
    left, right = pair
    count, threads = 400, 3
    sizes = (10, 500, 3000, 100_000)

    def send(name):
        for i in range(count):
            left.send((name, i, bytes([i % 256]) * sizes[i % 4]))

    def receive():
        return [right.recv() for _ in range(count)]

    senders = [pipe_calls.Call(send, name) for name in range(threads)]
    receivers = [pipe_calls.Call(receive) for _ in range(threads)]
    received = [receiver.result() for receiver in receivers]
    for sender in senders:
        sender.result()
    for items in received:  # each sender's order is seen by every receiver
        for name in range(threads):
            numbers = [i for who, i, _ in items if who == name]
            assert numbers == sorted(numbers)
    everything = sorted((who, i) for items in received for who, i, _ in items)
    assert everything == [(who, i) for who in range(threads) for i in range(count)]
    assert all(set(data) <= {i % 256} for items in received for _, i, data in items)


def test_a_close_sends_waiting_threads_away(pair):
    left, right = pair
    calls = [pipe_calls.Call(right.recv), pipe_calls.Call(right.poll, None)]
    for call in calls:
        pipe_calls.until(lambda call=call: pipe_calls.asleep(call.native_id))
    right.close()
    left.close()  # a thread that sleeps at the socket notices only this
    for call in calls:
        with pytest.raises((OSError, EOFError)):
            call.result()


class Interrupted(Exception):
    pass


@contextlib.contextmanager
def signalled(handler, condition=lambda: True):
    """This thread gets a signal as soon as it sleeps, and the condition is true."""
    here = threading.main_thread()

    def send():
        pipe_calls.until(lambda: condition() and pipe_calls.asleep(here.native_id))
        signal.pthread_kill(here.ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    call = pipe_calls.Call(send)
    try:
        yield
    finally:
        call.result()
        signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def interrupted(condition=lambda: True):
    def handler(*_):
        raise Interrupted

    with pytest.raises(Interrupted), signalled(handler, condition):
        yield


@pytest.mark.parametrize("how", ["recv", "recv_bytes", "recv_many", "poll"])
@pytest.mark.parametrize("where", ["at once", "at its socket"])
def test_signals_interrupt_a_receiver_that_waits(pair, how, where):
    left, right = pair

    def deep():
        facts = right.statistics()
        return where == "at once" or facts["core"] == "python" or facts["slept_at_socket"]

    call = getattr(right, how)
    with interrupted(deep):
        call(*[None] * (how == "poll"))
    left.send("nothing was lost")
    assert right.recv() == "nothing was lost"


def test_a_signal_whose_handler_returns_is_no_interruption(pair):
    left, right = pair
    seen = []

    def handler(*_):
        seen.append(1)
        left.send("from the handler")

    with signalled(handler):
        assert right.recv() == "from the handler"
    assert seen == [1]


@pytest.mark.parametrize("size", [1000, LARGE])
def test_an_interrupted_sender_leaves_no_half_message(pair, size):
    left, right = pair
    sent = 0

    def send():
        nonlocal sent
        left.send(b"x" * size)
        sent += 1

    with interrupted():
        all(send() is None for _ in range(1000))
    call = pipe_calls.Call(left.send, "next")
    received = [len(item) for item in iter(right.recv, "next")]
    assert received in ([size] * sent, [size] * (sent + 1))  # interrupted when it was sent
    call.result()


class Slowly:
    """Sends the beginning of a large message, and the rest when told."""

    def __init__(self, end, data):
        self._end, self._data = end, data
        self._begun, self._go_on = threading.Event(), threading.Event()
        self._call = pipe_calls.Call(self._send)
        assert self._begun.wait(20)

    def _send(self):
        sending = self._end._sending_bytes(self._data)
        assert sending.step() is False
        self._begun.set()
        assert self._go_on.wait(20)
        while sending.step() is not True:
            time.sleep(0.0005)

    def go_on(self):
        self._go_on.set()

    def result(self):
        self._call.result()


@pytest.mark.parametrize("how", ["recv", "recv_bytes", "recv_bytes_into", "recv_many"])
def test_a_receiver_interrupted_in_the_middle_gets_the_message_later(pair, how):
    left, right = pair
    buffer = bytearray(b"\xff" * LARGE)
    slowly = Slowly(left, bytes(LARGE))
    call = getattr(right, how)
    with interrupted():
        call(*[buffer] * (how == "recv_bytes_into"))
    seen = buffer.count(0)
    del buffer[:]  # what was lent is free again
    assert seen < LARGE
    assert right.poll()
    slowly.go_on()
    assert right.recv_bytes() == bytes(LARGE)
    slowly.result()
    assert not right.poll()


def test_a_fork_while_threads_wait(pair):
    """What the threads hold in the parent is no hindrance in the child."""
    left, right = pair
    waiting = [pipe_calls.Call(right.recv), pipe_calls.Call(right.send_bytes, b"x" * LARGE)]
    for call in waiting:
        pipe_calls.until(lambda call=call: pipe_calls.asleep(call.native_id))

    def child():
        right.close()  # else the parent, below, would not meet the end
        assert not left.poll(0) or left.poll()
        left.send("from the child")
        left.close()

    assert pipe_calls.joined(pipe_calls.fork(child)) == 0
    assert waiting[0].result() == "from the child"
    stays = pipe_calls.fork(pipe_children.close_and_sleep, right, left)
    assert left.recv_bytes() == b"x" * LARGE
    waiting[1].result()
    right.close()
    with pytest.raises(EOFError):
        left.recv()
    os.kill(stays, signal.SIGKILL)
    pipe_calls.joined(stays)


def test_one_thread_cannot_send_in_the_middle_of_its_own_message(pair):
    left, right = pair
    sending = left._sending_bytes(b"x" * LARGE)
    assert sending.step() is False
    with pytest.raises(RuntimeError, match="in the middle of a message"):
        left.send(1)
    sending.abort()
    call = pipe_calls.Call(left.send_bytes, b"next")
    assert right.recv_bytes() == b"next"
    call.result()
