"""The signals that stop a worker, as something that its loop can wait for."""

import os
import select
import signal
import sys
import threading

import pytest

from penstock.worker.stopping import StopSignals


@pytest.fixture
def stop():
    """Stop signals; afterwards everything is as it was."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    stop = StopSignals()
    yield stop
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.fixture
def unhurried():
    """A thread that computes gives the interpreter to another only when it waits."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100.0)
    yield
    sys.setswitchinterval(interval)


def test_a_signal_that_does_not_interrupt_the_wait_ends_it_all_the_same(stop, unhurried):
    """As one that comes in the moment before the main thread sleeps: here another thread gets it.

    That one runs no Python before the main thread waits in select, and gives the interpreter back.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    ready, go = threading.Event(), threading.Lock()
    go.acquire()

    def interrupt():
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        ready.set()
        with go:
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ready.wait()
    go.release()
    readable, _, _ = select.select([stop], [], [], 5.0)
    assert readable == [stop]
    assert stop.count() == 1
    assert stop.asked
    thread.join()


def test_what_was_counted_does_not_wake_again(stop):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.count() == 2
    assert select.select([stop], [], [], 0) == ([], [], [])
    assert stop.count() == 2


def test_more_signals_than_the_pipe_holds_are_counted(stop):
    os.write(stop._write, bytes(1 << 20))
    with pytest.raises(BlockingIOError):
        os.write(stop._write, b"!")
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.count() == 1
