"""What the tests of the queues between threads share: both cores, calls in threads, waiting."""

import asyncio
import importlib
import os
import signal
import sys
import threading
import time
from unittest import mock

MODULE = "penstock.queues.thread"


def load(core):
    """The module of the queues on this core (native or python), beside any other one."""
    with (
        mock.patch.dict(sys.modules),
        mock.patch.dict(os.environ, {"PENSTOCK_CORE": core}),
    ):
        sys.modules.pop(MODULE, None)
        return importlib.import_module(MODULE)


class Call(threading.Thread):
    """A call in a thread of its own; ``result()`` gives or raises what it did."""

    def __init__(self, function, *args, **kwargs):
        super().__init__(daemon=True)
        self._call = function, args, kwargs
        self._result = self._error = None
        self.start()

    def run(self):
        function, args, kwargs = self._call
        try:
            self._result = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - result() raises it
            self._error = error

    def result(self):
        self.join(20)
        assert not self.is_alive(), "the call still waits"
        if self._error is not None:
            raise self._error
        return self._result


def until(condition):
    """Return when it is true; other threads run meanwhile."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0)


def waiters(queue):
    facts = queue.statistics()
    return sum(facts[f"waiting_{who}"] for who in ("getters", "putters", "joiners"))


def waiting(queue, count):
    """Return when so many wait in the queue."""
    until(lambda: waiters(queue) == count)


async def soon(condition):
    """The same as ``until`` in a task."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never became true"
        await asyncio.sleep(0)


def in_line(queue, *calls):
    """Calls in threads that wait in the queue in this order; each is (function, *args)."""
    started = []
    before = waiters(queue)
    for call in calls:
        started.append(Call(*call))
        waiting(queue, before + len(started))
    return started


class Interruption:
    """A signal to the main thread that runs ``act`` there once, while somebody waits in a queue.

    A signal that comes between a thread's last look and its falling asleep is seen when it wakes,
    as everywhere in Python; so it is sent until it was seen.
    """

    def __init__(self, queue, act, number=signal.SIGUSR1):
        self._queue, self._act, self._number = queue, act, number
        self._done = False

    def __enter__(self):
        self._before = signal.signal(self._number, self._handle)
        self._sender = Call(self._send)
        return self

    def __exit__(self, *exc):
        try:
            self._sender.result()
        finally:
            signal.signal(self._number, self._before)

    def _handle(self, *_):
        if not self._done:
            self._done = True
            self._act()

    def _send(self):
        waiting(self._queue, 1)
        while not self._done:
            signal.pthread_kill(threading.main_thread().ident, self._number)
            time.sleep(0.001)
