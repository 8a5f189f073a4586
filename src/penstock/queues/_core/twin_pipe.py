"""The Python twin of `_pipe`: the same ends, as frames over a socket pair. No speed target.

A message is a pickle, or the bytes given to ``send_bytes``, cut into frames. Frames exist so
that a sender that is interrupted in the middle can take its message back: the receiver throws
away what came of it. What of a frame could not be sent is kept, and goes out before anything
else: the stream of frames is never broken, except by death, which the receiver sees as the end.
"""

from __future__ import annotations

import operator
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from penstock.queues._core.twin_pipe_frames import Inbox, Outbox, Turn

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BUSY", "NOT_YET", "End", "Sending", "make"]

NOT_YET = object()
BUSY = object()

_FOREVER = float("inf")


def make(duplex: bool, max_bytes: int, /) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the two ends of a new pipe are made of: socket, may it receive, may it send."""
    first, second = socket.socketpair()
    for end in (first, second):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, max_bytes)
    return (first.detach(), True, bool(duplex)), (second.detach(), bool(duplex), True)


def _dumps(obj: Any) -> memoryview:
    from multiprocessing.reduction import ForkingPickler  # with the reducers that it knows

    pickled: memoryview = ForkingPickler.dumps(obj, 5)
    return pickled


def _loads(data: bytes) -> Any:
    import pickle

    return pickle.loads(data)  # noqa: S301  # from a process that we gave the other end to


def _view(buf: Buffer, offset: int, size: int | None) -> memoryview:
    view = memoryview(buf).cast("B")
    if offset < 0:
        raise ValueError("offset is negative")
    if view.nbytes < offset:
        raise ValueError("buffer length < offset")
    if size is None:
        size = view.nbytes - offset
    if size < 0:
        raise ValueError("size is negative")
    if offset + size > view.nbytes:
        raise ValueError("buffer length < offset + size")
    return view[offset : offset + size]


def _deadline(timeout: float | None) -> float:
    if timeout is None:
        return _FOREVER
    if timeout != timeout:  # noqa: PLR0124  # not a number
        raise ValueError("the timeout is not a number")
    return time.monotonic() + timeout if timeout > 0 else 0.0


class Sending:
    """A message on its way, for those who must not block."""

    def __init__(
        self, *, check: Callable[[], None], turn: Turn, outbox: Outbox, data: memoryview
    ) -> None:
        self._check = check
        self._turn = turn
        self._outbox = outbox
        self._data = data
        self._holds = False

    def step(self) -> object:
        self._check()
        if not self._holds:
            if not self._turn.take(0.0):
                return BUSY
            self._holds = True
            self._outbox.load(self._data)
        if not self._outbox.push():
            return False
        self._let_go()
        return True

    def abort(self) -> None:
        if self._holds:
            self._outbox.take_back()
            self._let_go()

    def _let_go(self) -> None:
        self._holds = False
        self._turn.give()

    __del__ = abort


class End:
    """One end of a pipe."""

    _open = False

    def __init__(self, parts: tuple[int, ...], /) -> None:
        descriptor, readable, writable = parts
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._readable = bool(readable)
        self._writable = bool(writable)
        self._outbox = Outbox(self._socket)
        self._inbox = Inbox(self._socket)
        self._sends = Turn()
        self._receives = Turn()
        self._stash: list[bytes] = []  # received by recv_many, and could not be unpickled
        self._open = True

    # --- sending ---------------------------------------------------------------------------------

    def send(self, obj: Any, /) -> None:
        self._check_writable()
        self._send(_dumps(obj))

    def send_bytes(self, buf: Buffer, offset: int = 0, size: int | None = None) -> None:
        self._check_writable()
        self._send(_view(buf, offset, size))

    def send_many(self, items: Iterable[Any], /) -> None:
        self._check_writable()
        for data in [_dumps(item) for item in items]:
            self._send(data)

    def _send(self, data: memoryview) -> None:
        with self._sends:
            self._check_writable()  # pickling may have closed it
            self._outbox.load(data)
            try:
                while not self._outbox.push():
                    self._wait(selectors.EVENT_WRITE, _FOREVER)
                    self._check_writable()
            finally:
                self._outbox.take_back()

    def _sending(self, obj: Any, /) -> Sending:
        self._check_writable()
        return self._start(_dumps(obj))

    def _sending_bytes(self, buf: Buffer, offset: int = 0, size: int | None = None) -> Sending:
        self._check_writable()
        return self._start(_view(buf, offset, size))

    def _start(self, data: memoryview) -> Sending:
        return Sending(check=self._check_writable, turn=self._sends, outbox=self._outbox, data=data)

    # --- receiving -------------------------------------------------------------------------------

    def recv(self) -> Any:
        return _loads(self._receive())

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        _check_limit(maxlength)
        return self._within(maxlength, self._receive())

    def recv_bytes_into(self, buf: Buffer, offset: int = 0) -> int:
        self._check_readable()
        with memoryview(buf).cast("B") as view:
            if view.readonly:
                raise BufferError("the buffer is read-only: give a bytearray, say")
            if offset < 0:
                raise ValueError("negative offset")
            if offset > view.nbytes:
                raise ValueError("offset too large")
            data = self._receive()
            if offset + len(data) > view.nbytes:
                from multiprocessing import BufferTooShort

                raise BufferTooShort(data)
            view[offset : offset + len(data)] = data
        return len(data)

    def recv_many(self, limit: int | None = None, timeout: float | None = None) -> list[Any]:
        self._check_readable()
        most = _FOREVER if limit is None else operator.index(limit)
        if most <= 0:
            raise ValueError("limit must be positive, or None")
        items: list[Any] = []
        data = self._take(_deadline(timeout))
        while data is not None:
            try:
                items.append(_loads(data))
            except BaseException:
                if not items:
                    raise
                self._stash.append(data)  # it is for the next call to meet it
                break
            data = self._take_ready() if len(items) < most else None
        return items

    def poll(self, timeout: float | None = 0.0) -> bool:
        self._check_readable()
        deadline = _deadline(timeout)
        if self._stash or self._inbox.begun:
            return True
        ready = self._wait(selectors.EVENT_READ, deadline)
        self._check_readable()  # another thread may have closed it
        return ready

    def _recv_now(self) -> Any:
        data = self._now()
        return _loads(data) if isinstance(data, bytes) else data

    def _recv_bytes_now(self, maxlength: int | None, /) -> Any:
        _check_limit(maxlength)
        data = self._now()
        return self._within(maxlength, data) if isinstance(data, bytes) else data

    def _now(self) -> object:
        self._check_readable()
        if not self._receives.take(0.0):
            return BUSY
        try:
            data = self._pull()
        finally:
            self._receives.give()
        return NOT_YET if data is None else data

    def _receive(self) -> bytes:
        self._check_readable()
        data = self._take(_FOREVER)
        assert data is not None  # noqa: S101  # only a deadline ends without
        return data

    def _take(self, deadline: float) -> bytes | None:
        """A message, or None after the deadline."""
        if not self._receives.take(deadline):
            return None
        try:
            while (data := self._pull()) is None:
                if not self._wait(selectors.EVENT_READ, deadline):
                    return None
                self._check_readable()
            return data
        finally:
            self._receives.give()

    def _take_ready(self) -> bytes | None:
        """A message that is there already; an end of the pipe is left to the next call."""
        if not self.closed and self._inbox.waiting():
            return self._take(0.0)
        return None

    def _pull(self) -> bytes | None:
        if self._stash:
            return self._stash.pop()
        return self._inbox.pull()

    def _within(self, maxlength: int | None, data: bytes) -> bytes:
        if maxlength is None or len(data) <= maxlength:
            return data
        if self._writable:
            self._readable = False
        else:
            self.close()
        raise OSError("bad message length")

    # --- the rest --------------------------------------------------------------------------------

    def _wait(self, event: int, deadline: float) -> bool:
        """True when the socket is ready; looks now and then whether the end was closed."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, event)
            while True:
                left = deadline - time.monotonic()
                if selector.select(max(0.0, min(left, 0.2))) or self.closed:
                    return True
                if left <= 0:
                    return False

    def fileno(self) -> int:
        self._check_open()
        return self._socket.fileno()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._socket.close()

    __del__ = close

    def statistics(self) -> dict[str, Any]:
        return {"core": "python", "sent": self._outbox.sent, "received": self._inbox.received}

    @property
    def closed(self) -> bool:
        return not self._open

    @property
    def readable(self) -> bool:
        return self._readable

    @property
    def writable(self) -> bool:
        return self._writable

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _descriptors(self) -> tuple[int, ...]:
        self._check_open()
        return (self._socket.fileno(),)

    @property
    def _shape(self) -> tuple[int, ...]:
        return (self._readable, self._writable)

    @property
    def _wakers(self) -> tuple[int, int, bool]:
        self._check_open()
        return self._socket.fileno(), self._socket.fileno(), True

    def _check_open(self) -> None:
        if not self._open:
            raise OSError("handle is closed")

    def _check_readable(self) -> None:
        self._check_open()
        if not self._readable:
            raise OSError("connection is write-only")

    def _check_writable(self) -> None:
        self._check_open()
        if not self._writable:
            raise OSError("connection is read-only")


def _check_limit(maxlength: int | None) -> None:
    if maxlength is not None and maxlength < 0:
        raise ValueError("negative maxlength")
