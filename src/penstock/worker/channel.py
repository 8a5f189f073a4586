"""The channel between the supervisor and one executor, behind one narrow interface.

Tasks go over a pair of packet sockets, one packet a task. The kernel hands each packet to exactly
one reader, and the supervisor keeps a copy of the executor's receiving end: so whatever the
executor has not begun can be *recalled* at any moment, without asking it and without a race. What
is neither recalled nor answered was begun. Replies come back over a stream pair, each at once.

A packet larger than a socket takes travels as a file without a name, its descriptor in the packet.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from typing import Any

from penstock.crashpoints import tear
from penstock.worker.protocol import FrameReader, FromExecutor, Hand, frame, pack_hand, unpack_hand

__all__ = ["ExecutorChannel", "SupervisorChannel"]

_INLINE, _BY_FILE = b"\0", b"\1"
_LARGEST_PACKET = 64 * 1024
_BUFFER = 1024 * 1024  # asked for; the kernel gives what its limits allow
_READ = 64 * 1024  # a larger buffer would be mapped and unmapped at each call


def _packet_pair() -> tuple[socket.socket, socket.socket]:
    # macOS has no SEQPACKET for local sockets; datagrams keep order and borders there, too.
    kind = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return ours, theirs


def _anonymous_file(data: bytes) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("penstock-task")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(data)
    return descriptor


def _receive(lane: socket.socket, flags: int = 0) -> Hand | None:
    """The next task; None at the end of the lane. Raises BlockingIOError when there is none."""
    data, ancillary, _, _ = lane.recvmsg(_LARGEST_PACKET + 1, socket.CMSG_SPACE(4), flags)
    if not data:
        return None
    if data[:1] == _INLINE:
        return unpack_hand(memoryview(data)[1:])
    descriptor = int.from_bytes(ancillary[0][2], "little")  # one int, as sent by send_fds
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return unpack_hand(file.read())


class SupervisorChannel:
    """The supervisor's end. Not thread-safe: touched only by the supervisor's loop."""

    def __init__(self) -> None:
        self._tasks, self._their_tasks = _packet_pair()
        self._replies, self._their_replies = socket.socketpair()
        self._replies.setblocking(False)
        self._tasks.setblocking(False)
        self._reader = FrameReader(FromExecutor)

    def descriptors(self) -> tuple[int, int]:
        """What the executor gets: the ends for tasks and for replies."""
        return self._their_tasks.fileno(), self._their_replies.fileno()

    def given(self) -> None:
        """The executor has its ends: keep only the copy that recalls, so that its death shows."""
        self._their_replies.close()

    def fileno(self) -> int:
        """Readable when there are replies, or when the executor is gone."""
        return self._replies.fileno()

    def hand(self, task: Hand) -> bool:
        """Send one task; False when the channel is full or broken: it is still ours then."""
        data = pack_hand(task)
        try:
            if len(data) < _LARGEST_PACKET:
                self._tasks.send(_INLINE + data)
            else:
                self._hand_by_file(data)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _hand_by_file(self, data: bytes) -> None:
        descriptor = _anonymous_file(data)
        try:
            socket.send_fds(self._tasks, [_BY_FILE], [descriptor])
        finally:
            os.close(descriptor)

    def recall(self) -> list[int]:
        """Take back the tags of what was handed over but not begun."""
        tags: list[int] = []
        while self._their_tasks.fileno() >= 0:
            try:
                task = _receive(self._their_tasks, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return tags
            if task is None:
                break
            tags.append(task.tag)
        return tags

    def replies(self) -> tuple[list[FromExecutor], bool]:
        """What came back, and whether the executor's end is still open."""
        values: list[FromExecutor] = []
        while True:
            try:
                data = self._replies.recv(_READ)
            except BlockingIOError:
                return values, True
            except ConnectionResetError:
                return values, False
            if not data:
                return values, False
            values += self._reader.feed(data)
            if len(data) < _READ:
                return values, True

    def finish(self) -> None:
        """No more tasks: the executor ends once it has run what it began."""
        self._tasks.close()
        self._their_tasks.close()

    def close(self) -> None:
        """Give up all ends."""
        self.finish()
        self._replies.close()
        self._their_replies.close()


class ExecutorChannel:
    """The executor's end. ``receive`` and ``send`` may be used from several threads."""

    def __init__(self, tasks: int, replies: int) -> None:
        self.tasks = socket.socket(fileno=tasks)
        self._replies = socket.socket(fileno=replies)
        self._sending = threading.Lock()

    def receive(self) -> Hand | None:
        """Block for the next task; None when there will be no more."""
        return _receive(self.tasks)

    def receive_now(self) -> Hand | None:
        """As :meth:`receive`, but raises BlockingIOError when there is no task."""
        return _receive(self.tasks, socket.MSG_DONTWAIT)

    def send(self, value: Any) -> None:
        """Send a reply at once, whole."""
        data = frame(value)
        with self._sending:
            tear("reply.torn", self._replies.sendall, data)
            self._replies.sendall(data)

    def close(self) -> None:
        """Give up both ends."""
        self.tasks.close()
        self._replies.close()
