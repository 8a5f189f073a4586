"""Messages as frames on a socket, and back; and whose turn it is at one side of an end."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from types import TracebackType

from penstock.errors import PeerDied

__all__ = ["Inbox", "Outbox", "Turn"]

_HEAD = struct.Struct("<IB")  # bytes that follow, flags
_LAST = 1  # the message is complete
_ABORT = 2  # the message will not be finished
_FRAME = 64 * 1024


class Outbox:
    """The sender's half of a socket. Touched by whoever has the turn."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._rest = b""  # of a frame, that must go out first
        self._message: memoryview | None = None
        self._begun = False
        self.sent = 0

    def load(self, message: memoryview) -> None:
        """The message that is to be sent next."""
        self._message = message
        self._begun = False

    def push(self) -> bool:
        """Send what there is room for. True when that was all. Raises BrokenPipeError."""
        while self._flush():
            if self._message is None:
                self.sent += 1
                return True
            self._next_frame(self._message)
        return False

    def take_back(self) -> None:
        """If the message was not sent whole, let the receiver forget what came of it."""
        if self._message is not None and self._begun:
            self._rest += _HEAD.pack(0, _ABORT)
        self._message = None
        try:
            self._flush()
        except OSError:
            self._rest = b""  # nobody is left who could misread it

    def _next_frame(self, message: memoryview) -> None:
        data, rest = message[:_FRAME], message[_FRAME:]
        self._rest = _HEAD.pack(len(data), 0 if rest else _LAST) + data
        self._message = rest or None
        self._begun = True

    def _flush(self) -> bool:
        while self._rest:
            try:
                sent = self._socket.send(self._rest)
            except BlockingIOError:
                return False
            except ConnectionResetError as error:
                raise BrokenPipeError(error.errno, "Broken pipe") from error
            self._rest = self._rest[sent:]
        return True


class Inbox:
    """The receiver's half of a socket. Touched by whoever has the turn.

    Reads no further than the end of a message, so that the socket tells select() the truth.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._head = b""
        self._left = 0  # bytes of the current frame
        self._damaged = False  # what follows is no frame, and nobody knows where one begins
        self._flags = 0
        self._message = bytearray()
        self.received = 0

    @property
    def begun(self) -> bool:
        """True when a part of a message has been read."""
        return bool(self._head or self._message or self._left)

    def pull(self) -> bytes | None:
        """A message, or None if it is not there yet. Raises PeerDied at the end of the socket."""
        while self._read():
            if self._flags & _ABORT:
                self._message.clear()
            if self._flags & _LAST:
                message = bytes(self._message)
                self._message.clear()
                self.received += 1
                return message
        return None

    def waiting(self) -> bool:
        """True when bytes are there to be read."""
        if self.begun:
            return True
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _read(self) -> bool:
        """One whole frame."""
        if not self._read_head():
            return False
        while self._left:
            data = self._receive(self._left)
            if data is None:
                return False
            self._message += data
            self._left -= len(data)
        self._head = b""
        return True

    def _read_head(self) -> bool:
        if not self._damaged and len(self._head) == _HEAD.size:
            return True
        while len(self._head) < _HEAD.size:
            data = self._receive(_HEAD.size - len(self._head))
            if data is None:
                return False
            self._head += data
        self._left, self._flags = _HEAD.unpack(self._head)
        self._damaged = self._left > _FRAME or self._flags > _LAST + _ABORT
        if self._damaged:
            raise OSError("bad message length: something else was written to the pipe")
        return True

    def _receive(self, size: int) -> bytes | None:
        try:
            data = self._socket.recv(size)
        except BlockingIOError:
            return None
        except ConnectionResetError:  # the other end went without reading everything
            data = b""
        if not data:
            raise PeerDied(
                "the other end of the pipe was closed, or its process is gone; nothing more will"
                " come"
            )
        return data


class Turn:
    """One thread at a time; not held up by a fork, and an error for who has it already."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._owner = 0

    def take(self, deadline: float) -> bool:
        """False when it was not free before the deadline (monotonic; 0: now)."""
        if self._pid != os.getpid():
            self._reset()  # another thread may have held it when this process was forked
        if self._lock.acquire(blocking=False):
            self._owner = threading.get_ident()
            return True
        if deadline == 0:
            return False
        if self._owner == threading.get_ident():
            raise RuntimeError(
                "this thread is in the middle of a message on this end of the pipe: await it"
                " first, or let another thread or another pipe carry this one"
            )
        left = deadline - time.monotonic()
        if not self._lock.acquire(timeout=max(0.0, min(left, threading.TIMEOUT_MAX))):
            return False
        self._owner = threading.get_ident()
        return True

    def give(self) -> None:
        """Let the next one have it."""
        self._owner = 0
        self._lock.release()

    def __enter__(self) -> None:
        self.take(float("inf"))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.give()
