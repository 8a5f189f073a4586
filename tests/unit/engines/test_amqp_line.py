"""Who is at a RabbitMQ connection: its thread, who waits for a job, or who borrowed it."""

import os
import select
import socket
import threading

import pytest

from penstock.engines.amqp_line import Line
from penstock.engines.amqp_live import Live
from penstock.errors import Uncertain

WAIT = 20.0


class Connection:
    """What the library's is to a line: it hears, and says who heard."""

    def __init__(self):
        self.sock, self.server = socket.socketpair()
        self.transport = self
        self.heard = []  # (thread, what)
        self.beats = threading.Semaphore(0)
        self.something = threading.Event()

    def has_fetched(self):
        return False

    def flush(self):
        pass

    def heartbeat_tick(self):
        self.beats.release()

    def drain_events(self, timeout):
        data = self.sock.recv(100)
        if not data:
            raise ConnectionResetError("closed")
        self.heard.append((threading.get_ident(), data))
        self.something.set()

    def collect(self):
        self.sock.close()

    close = collect


@pytest.fixture
def connection():
    connection = Connection()
    yield connection
    connection.server.close()
    connection.sock.close()


@pytest.fixture
def lost():
    return []


@pytest.fixture
def line(connection, lost):
    line = Line(
        lambda epoch: Live(connection, epoch=epoch(), where="here"),
        name="test", heartbeat=1000.0, lost=lambda: lost.append(True),
    )  # fmt: skip
    assert line.at_once(lambda live: live) is None, "there is no connection to do it with"
    assert isinstance(line.submit(lambda live: live).result(WAIT), Live)
    yield line
    line.close()


def me(_live):
    return threading.get_ident()


def is_ready(line, seconds=0.0):
    return bool(select.select([line], [], [], seconds)[0])


def taken(line):
    """Borrowed, once the thread has let go of it."""
    while not line.borrow():
        pass
    return line


def done_at_once(line, job):
    while (future := line.at_once(job)) is None:
        pass
    return future


def test_who_waits_does_it_itself(line):
    assert done_at_once(line, me).result() == threading.get_ident()
    assert line.submit(me).result(WAIT) != threading.get_ident()


def test_what_does_not_fit_is_the_threads(line):
    taken(line).give_back()
    assert line.at_once(me, lambda live: False) is None
    assert line.submit(me).result(WAIT) != threading.get_ident()


def test_the_thread_hears_again_afterwards(line, connection):
    done_at_once(line, me)
    connection.server.send(b"news")
    assert connection.something.wait(WAIT)
    [(thread, data)] = connection.heard
    assert data == b"news"
    assert thread != threading.get_ident()


def test_the_thread_sleeps_while_nothing_comes(line, connection, monkeypatch):
    reads = []
    read = Line._read
    monkeypatch.setattr(Line, "_read", lambda line: reads.append(line) or read(line))
    for _ in range(20):
        done_at_once(line, me)
        line.submit(me).result(WAIT)
    assert reads == [], "it was woken by a connection that brought nothing"
    connection.server.send(b"news")
    assert connection.something.wait(WAIT)
    assert reads


def test_who_has_borrowed_it_hears(line, connection):
    taken(line)
    assert not is_ready(line)
    connection.server.send(b"news")
    assert is_ready(line, WAIT)
    line.read()
    assert connection.heard == [(threading.get_ident(), b"news")]
    assert not is_ready(line)
    line.give_back()


def test_who_has_borrowed_it_is_asked_for_it(line):
    taken(line)
    assert line.at_once(me) is None
    future = line.submit(me)
    assert is_ready(line, WAIT)
    assert not future.done()
    line.read()
    line.give_back()
    assert future.result(WAIT) != threading.get_ident()


def test_nobody_borrows_it_before_the_thread_had_it(line):
    taken(line)
    future = line.submit(me)
    assert is_ready(line, WAIT)  # it waits for the connection
    line.read()
    line.give_back()
    borrowed = line.borrow()
    assert future.done() or not borrowed
    if borrowed:
        line.give_back()
    future.result(WAIT)


def test_a_heart_beats_while_it_is_lent(connection):
    line = Line(
        lambda epoch: Live(connection, epoch=epoch(), where="here"), name="test", heartbeat=0.2
    )
    line.submit(me).result(WAIT)
    for _ in range(3):
        taken(line)
        assert is_ready(line, WAIT)  # the thread wants it
        line.read()
        line.give_back()
        assert connection.beats.acquire(timeout=WAIT)
    line.close()


def test_a_connection_that_breaks_meanwhile(line, lost):
    def broken(_live):
        raise OSError("cut")

    with pytest.raises(Uncertain, match="was lost before it replied: cut"):
        done_at_once(line, broken).result()
    assert lost == [True]
    assert line.at_once(me) is None, "there is no connection"


def test_one_that_ends_while_it_is_lent(line, connection, lost):
    taken(line)
    connection.server.close()
    assert is_ready(line, WAIT)
    line.read()
    assert lost == [True]
    line.give_back()
    assert not line.borrow()


def test_ctrl_c_in_the_middle_of_it_gives_the_connection_up(line, lost):
    def interrupted(_live):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        done_at_once(line, interrupted)
    assert lost == [True]


def test_a_child_has_nothing_of_it(line):
    taken(line)
    descriptors = (line.fileno(), line._wake)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            line.start_afresh()
            for descriptor in descriptors:
                with pytest.raises(OSError, match="Bad file"):
                    os.fstat(descriptor)
            assert line.at_once(me) is None
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    line.give_back()
    assert line.submit(me).result(WAIT) != threading.get_ident()
