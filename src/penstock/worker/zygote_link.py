"""The supervisor's line to its zygote: fork it, ask it for executors, hear what became of them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from penstock.errors import ConfigError, PenstockError
from penstock.worker.channel import SupervisorChannel
from penstock.worker.protocol import (
    Failure,
    FrameReader,
    FromZygote,
    Kill,
    Manifest,
    Spawn,
    frame,
)
from penstock.worker.stopping import StopSignals

__all__ = ["ZygoteGone", "ZygoteLink"]

_READ = 64 * 1024


class ZygoteGone(PenstockError):
    """The zygote died; every executor died with it."""


class ZygoteLink:
    """Made before the supervisor has a thread, a connection or a database handle."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self._reader = FrameReader(FromZygote)
        self.pid = pid

    @classmethod
    def fork(cls, be_zygote: Callable[[socket.socket, int], NoReturn]) -> ZygoteLink:
        """Fork the zygote; ``be_zygote(socket, supervisor's pid)`` runs in it and never returns."""
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            ours.close()
            be_zygote(theirs, parent)
        theirs.close()
        return cls(ours, pid)

    def manifest(self, stop: StopSignals) -> Manifest | None:
        """Wait for what the app holds; None when told to stop meanwhile.

        Raises ConfigError with the import's error, if any.
        """
        while not stop.count():
            readable, _, _ = select.select([self.fileno(), stop.fileno()], [], [])
            for event in self._first_news() if self.fileno() in readable else ():
                if isinstance(event, Manifest):
                    return event
                if isinstance(event, Failure):
                    raise ConfigError(event.text)
        return None

    def _first_news(self) -> list[FromZygote]:
        try:
            return self.receive()
        except ZygoteGone as error:  # starting again would meet the same end
            raise ConfigError("the process died while it imported the app") from error

    def fileno(self) -> int:
        """Readable when there is news."""
        return self._control.fileno()

    def receive(self) -> list[FromZygote]:
        """The news; blocks for some. Raises ZygoteGone."""
        try:
            data = self._control.recv(_READ)
        except ConnectionResetError:
            data = b""
        if not data:
            raise ZygoteGone("the process that forks executors died")
        return self._reader.feed(data)

    def spawn(self, slot: int, worker: str) -> SupervisorChannel:
        """Ask for an executor; its channel takes tasks once it said Ready."""
        channel = SupervisorChannel()
        try:
            socket.send_fds(
                self._control, [frame(Spawn(slot, worker))], list(channel.descriptors())
            )
        except (BrokenPipeError, ConnectionResetError) as error:
            channel.close()
            raise ZygoteGone("the process that forks executors died") from error
        channel.given()
        return channel

    def kill(self, slot: int, number: int) -> None:
        """Send a signal to an executor, if it is still there."""
        try:
            self._control.sendall(frame(Kill(slot, number)))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ZygoteGone("the process that forks executors died") from error

    def close(self) -> None:
        """End the zygote, which ends what executors are left, and wait for it."""
        self._control.close()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:  # reaped already
            return

    def abandon(self) -> None:
        """As :meth:`close`, for a zygote that may not listen (it is still importing, say)."""
        with contextlib.suppress(ProcessLookupError):  # dead already
            os.kill(self.pid, signal.SIGKILL)
        self.close()
