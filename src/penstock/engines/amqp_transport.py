"""The library's transports, with fewer system calls.

The library writes each frame by itself and reads each in three parts: of a batch of a hundred that
was most of the time. Here frames wait until somebody reads, which is when an answer is wanted, or
flushes; and what has come is fetched in one piece, of which frames are read.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from struct import unpack_from
from typing import Any

from amqp import transport

__all__ = ["transport_to"]

_FETCHED = 16_384  # bytes at once; what is left is copied for each part of a frame
_KEPT = 65_536  # bytes that wait at most
_HEAD, _END = 7, 1  # bytes of a frame around its payload


class _Together:
    """Before a class of the library in the order of methods."""

    sock: Any
    _read_buffer: bytes
    _write: Any
    _quick_recv: Any

    def _setup_transport(self) -> None:
        super()._setup_transport()  # type: ignore[misc]
        self._waiting = bytearray()
        self._send, self._receive = self._write, self._quick_recv
        self._write, self._quick_recv = self._keep, self._fetch

    def _keep(self, frame: bytes | memoryview) -> None:
        self._waiting += frame
        if len(self._waiting) > _KEPT:
            self.flush()

    def flush(self) -> None:
        """Write what waits; raises OSError."""
        if self._waiting:
            frames, self._waiting = self._waiting, bytearray()
            self._send(frames)

    def _fetch(self, size: int) -> bytes:
        fetched: bytes = self._receive(max(size, _FETCHED))
        return fetched

    def having_timeout(self, timeout: float | None) -> AbstractContextManager[Any]:
        """How long what is read within may take; writing has a limit of its own."""
        self.flush()
        if self.has_frame():
            return nullcontext(self.sock)
        changed: AbstractContextManager[Any] = super().having_timeout(timeout)  # type: ignore[misc]
        return changed

    def has_fetched(self) -> bool:
        """True when there is something to read of which the socket does not tell."""
        return self.has_frame()

    def has_frame(self) -> bool:
        """True when a whole frame was fetched."""
        there = self._read_buffer
        if len(there) < _HEAD:
            return False
        size: int = unpack_from(">I", there, 3)[0]
        return len(there) >= _HEAD + size + _END


class _Tcp(_Together, transport.TCPTransport):  # type: ignore[misc]
    pass


class _Tls(_Together, transport.SSLTransport):  # type: ignore[misc]
    def has_fetched(self) -> bool:
        return self.has_frame() or self.sock.pending() > 0


def transport_to(
    host: str,
    connect_timeout: float | None,
    ssl: Any,
    read_timeout: float | None,
    write_timeout: float | None,
    **options: Any,
) -> Any:
    """What the library's own function of that purpose makes, as one of these."""
    options |= {
        "connect_timeout": connect_timeout,
        "read_timeout": read_timeout,
        "write_timeout": write_timeout,
    }
    return _Tls(host, ssl=ssl, **options) if ssl else _Tcp(host, **options)
