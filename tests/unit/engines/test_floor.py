"""Who reads the connection that hears: the thread, or who waits."""

import contextlib
import select
import socket
import threading

import pytest

from penstock.engines.floor import Floor, _BothEnds
from penstock.engines.memory_bells import Bells
from penstock.engines.redis_listeners import ClaimListener

SOON = 10.0


class Stage:
    """A connection with its reading thread, and what was heard on it."""

    def __init__(self, *, silence: float = SOON) -> None:
        self.server, self.sock = socket.socketpair()
        self.sock.setblocking(False)
        self.heard: list[tuple[str, bytes]] = []
        self.news = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.ended: list[BaseException] = []
        self.floor = Floor(self.sock, hear=self.hear, ask=self.ask, silence=silence)
        self.thread = threading.Thread(target=self.run, name="reader")
        self.thread.start()

    def run(self) -> None:
        try:
            self.floor.run()
        except OSError as error:
            self.ended.append(error)
        self.floor.close()

    def hear(self, data: bytes) -> None:
        if data == b"poison":
            raise KeyboardInterrupt
        self.heard.append((threading.current_thread().name, data))
        self.news.release()

    def ask(self) -> bool:
        self.asked.release()
        return True

    def say(self, data: bytes) -> None:
        self.server.send(data)
        assert self.news.acquire(timeout=SOON)


@pytest.fixture
def stage():
    stages = []

    def make(**options: float) -> Stage:
        stages.append(Stage(**options))
        return stages[-1]

    yield make
    for each in stages:
        each.server.close()
        each.thread.join(SOON)
        assert not each.thread.is_alive()
        each.sock.close()


def test_the_thread_reads_until_it_is_borrowed_and_again_afterwards(stage):
    it = stage()
    it.say(b"one")
    assert it.floor.borrow()
    it.server.send(b"two")
    assert select.select([it.floor], [], [], SOON)[0]
    it.floor.read()
    assert it.news.acquire(timeout=0)
    it.floor.give_back()
    it.say(b"three")
    mine = threading.current_thread().name
    assert it.heard == [("reader", b"one"), (mine, b"two"), ("reader", b"three")]


def test_who_reads_stops_when_its_own_descriptor_is_readable(stage):
    it = stage()
    bell, ring = socket.socketpair()
    with bell, ring:
        ring.send(b"!")
        assert it.floor.borrow()
        it.floor.read_until(bell.fileno(), SOON)  # else the test would take as long
        it.floor.give_back()


def test_it_is_lent_to_one_at_a_time(stage):
    it = stage()
    assert it.floor.borrow()
    assert not it.floor.borrow()
    it.floor.give_back()
    assert it.floor.borrow()
    it.floor.give_back()


def test_what_is_heard_half_ends_the_connection(stage):
    it = stage()
    assert it.floor.borrow()
    it.server.send(b"poison")
    with pytest.raises(KeyboardInterrupt):
        it.floor.read_until(it.server.fileno(), SOON)
    it.floor.give_back()
    it.thread.join(SOON)
    assert isinstance(it.ended[0], ConnectionResetError)


def test_the_end_is_seen_by_the_thread_though_another_read_it(stage):
    it = stage()
    assert it.floor.borrow()
    it.server.shutdown(socket.SHUT_WR)
    bell, ring = socket.socketpair()
    with bell, ring:
        it.floor.read_until(bell.fileno(), SOON)
    it.floor.give_back()
    it.thread.join(SOON)
    assert isinstance(it.ended[0], ConnectionResetError)


def test_after_a_silence_it_asks_and_then_gives_up_even_while_it_is_lent(stage):
    it = stage(silence=0.05)
    assert it.floor.borrow()
    it.thread.join(SOON)
    assert isinstance(it.ended[0], TimeoutError)
    assert it.asked.acquire(timeout=0)
    with pytest.raises(ConnectionResetError):
        it.floor.read()  # its number may be another's by now
    it.floor.give_back()
    assert not it.floor.borrow()


def test_two_descriptors_are_one_while_the_other_is_open():
    one, ring_one = socket.socketpair()
    other, ring_other = socket.socketpair()
    both = _BothEnds(one.fileno())
    with one, ring_one, other, ring_other:
        ring_other.send(b"!")
        assert not _readable(both)
        both.open(other.fileno())
        assert _readable(both)
        both.shut(other.fileno())
        assert not _readable(both)
        ring_one.send(b"!")
        assert _readable(both)
        both.close()


def _readable(both: _BothEnds) -> bool:
    return bool(select.select([both], [], [], 0)[0])


def test_a_connection_that_is_closed_as_its_floor_is_lent_harms_no_listener():
    """The watchdog connects anew from another thread: the worker's loop once ended with EBADF."""
    ours, theirs = socket.socketpair()
    floor = Floor(ours, hear=lambda _: None, ask=lambda: False, silence=1.0)

    class ClosedMeanwhile:
        bells = Bells()

        def borrow_floor(self):
            assert floor.borrow()
            floor.close()
            ours.close()
            return floor

        def leave(self, listener):
            pass

    listener = ClaimListener(("work",), ClosedMeanwhile())
    with theirs, contextlib.closing(listener):
        listener.attend()
        assert not listener.attended(ready=False)
