"""Pipes between two processes: ``Pipe()`` gives two connected ends.

An end has the whole interface of :class:`multiprocessing.connection.Connection`, and besides
``asend arecv asend_bytes arecv_bytes``, ``send_many recv_many`` and ``statistics``. Messages go
through shared memory; where the C core is not compiled, through a socket pair.

- What ``send`` returned for is there for the other end, whatever becomes of the sender.
- Each message is received whole or not at all, also when its sender dies in the middle of it.
- When the other end is gone, what it sent can still be received; then ``recv`` raises
  :class:`~penstock.errors.PeerDied` (an EOFError) and ``send`` raises BrokenPipeError.
- Threads may share an end: they take turns. So may processes, with the C core; the Python twin
  then mixes data up, as multiprocessing does. A message belongs to whoever received it.
- ``fileno()`` is for waiting (``select``, ``multiprocessing.connection.wait``, event loops), not
  for reading or writing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock.errors import ConfigError
from penstock.queues.pipe_await import Awaiting

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from penstock.queues._core import _pipe as _core
else:
    from penstock._core.choice import core

    _core = core("penstock.queues._core", "_pipe", "twin_pipe")

__all__ = ["Connection", "Pipe"]

DEFAULT_BYTES = 256 * 1024  # 1 MiB messages at 8 GB/s: docs/design/2026-11-23-pipe-rings.md


class Connection(_core.End):
    """One end of a pipe; made by :func:`Pipe`.

    Can be given to another process as an argument (fork, spawn, forkserver), or sent through any
    connection. The other end sees the end of the pipe when all copies of this one are closed.
    Safe for threads, event loops and forked children; a call that is interrupted or cancelled
    neither loses nor repeats a message, nor leaves half of one behind.
    """

    _awaiting: tuple[Awaiting, ...] = ()  # one for each event loop that awaited here

    async def asend(self, obj: Any) -> None:
        """:meth:`send` for coroutines: awaits room. Cancelled, it has sent nothing."""
        await self._deliver(self._sending(obj))

    async def asend_bytes(self, buf: Buffer, offset: int = 0, size: int | None = None) -> None:
        """:meth:`send_bytes` for coroutines: awaits room. Cancelled, it has sent nothing."""
        await self._deliver(self._sending_bytes(buf, offset, size))

    async def arecv(self) -> Any:
        """:meth:`recv` for coroutines. Cancelled, it has received nothing."""
        return await self._arrival(self._recv_now)

    async def arecv_bytes(self, maxlength: int | None = None) -> bytes:
        """:meth:`recv_bytes` for coroutines. Cancelled, it has received nothing."""
        item: bytes = await self._arrival(lambda: self._recv_bytes_now(maxlength))
        return item

    async def _deliver(self, sending: _core.Sending) -> None:
        try:
            async with self._waiting().to_send:
                while (state := sending.step()) is not True:
                    _, outbound, by_writing = self._wakers
                    await self._waiting().until(
                        None if state is _core.BUSY else outbound, writable=by_writing
                    )
        finally:
            sending.abort()

    async def _arrival(self, step: Callable[[], Any]) -> Any:
        async with self._waiting().to_receive:
            while (item := step()) is _core.NOT_YET or item is _core.BUSY:
                inbound, _, _ = self._wakers
                await self._waiting().until(None if item is _core.BUSY else inbound)
            return item

    def _waiting(self) -> Awaiting:
        for one in self._awaiting:
            if one.is_here():
                return one
        one = Awaiting()
        self._awaiting = (one, *(other for other in self._awaiting if not other.is_over()))
        return one

    def close(self) -> None:
        """Close this end; coroutines that wait at it get an OSError."""
        super().close()
        for one in self._awaiting:
            one.wake()

    def __reduce__(self) -> tuple[Any, ...]:
        # DupFd is how multiprocessing takes descriptors along: inherited by a child that is
        # being spawned, fetched over a socket by any other process.
        from multiprocessing.reduction import DupFd

        passed = [DupFd(fd) if fd >= 0 else None for fd in self._descriptors]
        return _rebuild, (type(self), _core.__name__, passed, self._shape)

    def __repr__(self) -> str:
        if self.closed:
            return "<Connection closed>"
        ways = [way for way in ("readable", "writable") if getattr(self, way)]
        facts = self.statistics()
        return (
            f"<Connection {' '.join(ways)}, descriptors {self._descriptors},"
            f" {facts['received']} received, {facts['sent']} sent>"
        )


def Pipe(  # noqa: N802  # the standard library's name
    duplex: bool = True, *, max_bytes: int = DEFAULT_BYTES
) -> tuple[Connection, Connection]:
    """Two connected ends; with ``duplex=False`` the first only receives, the second only sends.

    ``max_bytes`` is what can be on its way in each direction (rounded up to a power of two);
    ``send`` waits when that is full, and passes on larger messages piece by piece. Raises
    ConfigError for a bad ``max_bytes``, OSError without memory or descriptors for it.
    """
    made = _core.make(duplex, _checked(max_bytes))
    ends: list[Connection] = []
    try:
        ends.extend(Connection(parts) for parts in made)
    except BaseException:
        _close_parts(made[len(ends) :])
        raise
    return ends[0], ends[1]


def _checked(max_bytes: object) -> int:
    most = 1 << 30
    if isinstance(max_bytes, int) and 0 < max_bytes <= most:
        return max_bytes
    raise ConfigError(f"max_bytes is a number of bytes from 1 to {most}, not {max_bytes!r}")


def _close_parts(made: tuple[tuple[int, ...], ...]) -> None:
    for *descriptors, _ in made:
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def _rebuild(
    kind: type[Connection], core: str, passed: list[Any], shape: tuple[int, ...]
) -> Connection:
    """The same end in this process."""
    descriptors = tuple(-1 if one is None else one.detach() for one in passed)
    try:
        _require(core)
        return kind((*descriptors, *shape))
    except BaseException:
        _close_parts(((*descriptors, 0),))
        raise


def _require(core: str) -> None:
    if core != _core.__name__:
        raise ConfigError(
            f"this end of a pipe comes from a process that uses {core}, and this one uses"
            f" {_core.__name__}: install penstock alike for both, with the same PENSTOCK_CORE"
        )
