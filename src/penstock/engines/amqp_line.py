"""One connection to a RabbitMQ server, and the thread that looks after it.

The client library is no friend of threads, and a server that pushes wants somebody who listens.
So jobs come to the thread in order, each a function of the live connection; between them it reads
what the server pushes and keeps the connection's heart beating. A lost connection is made again
by the next job.

A change of threads costs some 0.1 ms. So who may wait does its job itself where the connection is
there and nobody is at it, and a loop that waits for what it brings may borrow it and read; the
thread sleeps meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from penstock import telemetry
from penstock.engines.amqp_errors import Unsent, is_foreign, said
from penstock.engines.amqp_live import Live
from penstock.errors import PenstockError, Unavailable, Uncertain

__all__ = ["Job", "Line", "Reply"]

V = TypeVar("V")
_LASTING = ("custody", "news", "ears")  # channels whose state nobody could make again
Job = Callable[[Live], V]


class Reply(Generic[V]):
    """What came of a job: as much of a :class:`Future` as somebody needs who did it himself."""

    __slots__ = ("_error", "_value")

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def set_result(self, value: V) -> None:
        self._value = value

    def set_exception(self, error: BaseException) -> None:
        self._error = error

    def result(self) -> V:
        """What it gave; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value


class Line:
    """Thread-safe; forgotten and made anew in a forked child."""

    # While there is a thread: what wakes it, and what wakes whoever has borrowed the connection.
    _ears: select.epoll
    _lent: select.epoll
    _nudge: int

    def __init__(
        self,
        connect: Callable[[Callable[[], int]], Live],
        *,
        name: str,
        heartbeat: float,
        lost: Callable[[], None] | None = None,
        beat: Callable[[Live], None] | None = None,
    ) -> None:
        self._connect = connect
        self._name = name
        self._heartbeat = heartbeat
        self._lost = lost
        self._beat = beat  # done four times in each heartbeat's time, by the owner
        self._wake = -1
        self.start_afresh()

    def start_afresh(self) -> None:
        """Know nothing of threads and connections: they were a parent's."""
        self._lock = threading.Lock()
        self._floor = threading.Lock()  # held by whoever is at the connection
        self._wanted = False  # by the thread: nobody else takes it before
        self._jobs: deque[tuple[Job[Any] | None, Future[Any]]] = deque()
        self._thread: threading.Thread | None = None
        if self._wake >= 0:  # in a child: its copies of the parent's descriptors
            self._close_descriptors(self._wake)
        self._wake = -1
        self._live: Live | None = None
        self._beat_at = 0.0

    # --- for everybody -----------------------------------------------------------------------

    @property
    def is_used(self) -> bool:
        """True while there is a thread."""
        return self._thread is not None

    def submit(self, job: Job[V]) -> Future[V]:
        """Have it done by the owner, after what was submitted before."""
        future: Future[V] = Future()
        self._put(job, future)
        return future

    def at_once(self, job: Job[V], fits: Callable[[Live], bool] | None = None) -> Reply[V] | None:
        """What came of a job that the caller does itself; None where that is not to be.

        ``fits`` says of the connection whether it is.
        """
        if not self.borrow():
            return None
        try:
            if self._live is None or (fits is not None and not _does(fits, self._live)):
                return None
            reply: Reply[V] = Reply()
            self._do_with(self._live, job, reply)
            return reply
        finally:
            self.give_back()

    def borrow(self) -> bool:
        """Have the connection until it is given back, which is soon after :meth:`fileno` is ready.

        False where somebody is at it.
        """
        if self._idle() is None or not self._floor.acquire(blocking=False):
            return False
        live = self._idle()
        if live is None:
            self._floor.release()
            return False
        self._watch(live, watched=False)
        return True

    def fileno(self) -> int:
        """Ready when the borrower should read."""
        return self._lent.fileno()

    def read(self) -> None:
        """Read what has come to the borrower."""
        if any(descriptor == self._nudge for descriptor, _ in self._lent.poll(0)):
            os.eventfd_read(self._nudge)
        self._read()

    def give_back(self) -> None:
        """Let others have the connection."""
        if self._live is not None:
            self._watch(self._live)
        self._floor.release()

    def _idle(self) -> Live | None:
        """The connection, where nothing is to be done with it."""
        return None if self._jobs or self._wanted else self._live

    def close(self) -> None:
        """End thread and connection, after the jobs so far; a later job begins again."""
        with self._lock:
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        future: Future[None] = Future()
        self._put(None, future)
        future.result()
        thread.join()

    def _put(self, job: Job[Any] | None, future: Future[Any]) -> None:
        with self._lock:
            if self._thread is None:
                if job is None:
                    future.set_result(None)
                    return
                self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self._ears, self._lent = select.epoll(), select.epoll()
                self._ears.register(self._wake, select.EPOLLIN)
                self._lent.register(self._nudge, select.EPOLLIN)
                self._thread = threading.Thread(
                    target=self._serve, name=f"penstock-amqp-{self._name}", daemon=True
                )
                self._thread.start()
            self._jobs.append((job, future))
            os.eventfd_write(self._wake, 1)

    # --- the thread --------------------------------------------------------------------------

    def _serve(self) -> None:
        wake, ears = self._wake, self._ears
        while True:
            self._listen(wake, ears)
            with self._taken_floor():
                while self._jobs:
                    job, future = self._jobs.popleft()
                    if job is None:
                        self._end(wake)
                        future.set_result(None)
                        return
                    self._do(job, future)
                self._keep_alive()

    @contextlib.contextmanager
    def _taken_floor(self) -> Iterator[None]:
        """The connection; whoever has borrowed it is asked for it."""
        if not self._floor.acquire(blocking=False):
            self._wanted = True
            os.eventfd_write(self._nudge, 1)
            self._floor.acquire()
            self._wanted = False
        try:
            yield
        finally:
            self._floor.release()

    def _close_descriptors(self, wake: int) -> None:
        for one in (self._ears, self._lent):
            one.close()
        for descriptor in (self._nudge, wake):
            os.close(descriptor)

    def _end(self, wake: int) -> None:
        self._hang_up()
        with self._lock:
            self._thread = None
            self._wake = -1
            self._close_descriptors(wake)
            left, self._jobs = self._jobs, deque()
        for job, future in left:  # they came while we were leaving
            self._put(job, future)

    def _listen(self, wake: int, ears: select.epoll) -> None:
        """Wait for jobs; read what comes meanwhile."""
        while not self._jobs:
            timeout = max(0.0, self._beat_at - time.monotonic()) if self._live else None
            ready = [descriptor for descriptor, _ in ears.poll(timeout)]
            if wake in ready:
                os.eventfd_read(wake)
            with self._taken_floor():
                if any(descriptor != wake for descriptor in ready):
                    self._read()
                self._keep_alive()

    def _watch(self, live: Live, *, watched: bool = True) -> None:
        """Have the thread woken by what comes, or not, while it is somebody else's to read."""
        try:
            if watched:
                self._ears.register(live.sock, select.EPOLLIN)
            else:
                self._ears.unregister(live.sock)
        except (OSError, ValueError):  # it is closed
            pass

    # --- whoever has the floor ---------------------------------------------------------------

    def _read(self) -> None:
        live = self._live
        if live is None:
            return
        try:
            live.read_what_is_there()
        except Exception as error:  # noqa: BLE001 - whatever breaks it, the connection is no good
            self._drop(error)

    def _keep_alive(self) -> None:
        live, now = self._live, time.monotonic()
        if live is None or now < self._beat_at:
            return
        self._beat_at = now + self._heartbeat / 4
        try:
            live.beat()
            if self._beat is not None:
                self._beat(live)
        except Exception as error:  # noqa: BLE001 - whatever breaks it, the connection is no good
            self._drop(error)

    def _do(self, job: Job[Any], future: Future[Any]) -> None:
        """Who has given up while we connected was told that nothing was sent, and nothing is."""
        try:
            self._live = self._live or self._new()
        except Exception as error:  # noqa: BLE001 - the caller is told of everything
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            return
        if future.set_running_or_notify_cancel():
            self._do_with(self._live, job, future)

    def _do_with(self, live: Live, job: Job[V], future: Future[V] | Reply[V]) -> None:
        try:
            value = job(live)
            live.flush()
            live.read_what_was_fetched()
        except PenstockError as error:
            self._read()  # and send what it had still to say
            if self._live is not None and self._live.is_broken(*_LASTING):
                self._drop(error)
            future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - the caller is told of everything
            self._drop(error)
            future.set_exception(_in_doubt(error, live.where))
        except BaseException as error:  # Ctrl-C: half of something may have been said, or heard
            self._drop(error)
            raise
        else:
            future.set_result(value)

    def _new(self) -> Live:
        self._beat_at = time.monotonic() + self._heartbeat / 4
        live = self._connect(time.monotonic_ns)
        with contextlib.suppress(OSError, ValueError):
            self._lent.register(live.sock, select.EPOLLIN)
        self._watch(live)
        return live

    def _drop(self, error: BaseException) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        telemetry.emit("amqp.lost", error=error, line=self._name)
        self._watch(live, watched=False)
        with contextlib.suppress(Exception):
            live.connection.collect()
        if self._lost is not None:
            self._lost()

    def _hang_up(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            self._watch(live, watched=False)
            with contextlib.suppress(Exception):
                live.connection.close()
            with contextlib.suppress(Exception):
                live.connection.collect()


def _does(fits: Callable[[Live], bool], live: Live) -> bool:
    try:
        return fits(live)
    except Exception:  # noqa: BLE001 - it is broken: whose job it is sees to that
        return False


def _in_doubt(error: Exception, where: object) -> Exception:
    """What was asked may have been done: nobody has said."""
    if isinstance(error, Unsent):
        text = f"the connection to RabbitMQ at {where} was lost; nothing was sent: {error}"
        unsent = Unavailable(text)
        unsent.__cause__ = error.__cause__
        return unsent
    if not is_foreign(error):
        return error
    doubt = Uncertain(
        f"the connection to RabbitMQ at {where} was lost before it replied: {said(error)}"
    )
    doubt.__cause__ = error
    return doubt
