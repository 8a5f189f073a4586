"""Pipes as rings in shared memory; `_core/pipe/README.md` says how. `twin_pipe` is its twin."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from typing_extensions import Buffer

NOT_YET: object
BUSY: object

def make(duplex: bool, max_bytes: int, /) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the two ends of a new pipe are made of: for ``End``."""

class Sending:
    """A message on its way, for those who must not block."""

    def step(self) -> object:
        """True: sent. False: no room, await it. ``BUSY``: another one is being sent."""

    def abort(self) -> None:
        """Takes back what is not sent yet; the receiver sees nothing of it."""

class End:
    """One end of a pipe."""

    def __init__(self, parts: tuple[int, ...], /) -> None: ...
    def send(self, obj: Any, /) -> None: ...
    def recv(self) -> Any: ...
    def send_bytes(self, buf: Buffer, offset: int = 0, size: int | None = None) -> None: ...
    def recv_bytes(self, maxlength: int | None = None) -> bytes: ...
    def recv_bytes_into(self, buf: Buffer, offset: int = 0) -> int: ...
    def send_many(self, items: Iterable[Any], /) -> None: ...
    def recv_many(self, limit: int | None = None, timeout: float | None = None) -> list[Any]: ...
    def poll(self, timeout: float | None = 0.0) -> bool: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def statistics(self) -> dict[str, Any]: ...
    @property
    def closed(self) -> bool: ...
    @property
    def readable(self) -> bool: ...
    @property
    def writable(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None: ...
    @property
    def _descriptors(self) -> tuple[int, ...]:
        """What is duplicated to make the same end in another process; -1: none."""

    @property
    def _shape(self) -> tuple[int, ...]:
        """What ``End`` is given after the descriptors."""

    @property
    def _wakers(self) -> tuple[int, int, bool]:
        """Where to await a message, where room, and whether room shows as writability."""

    def _sending(self, obj: Any, /) -> Sending: ...
    def _sending_bytes(self, buf: Buffer, offset: int = 0, size: int | None = None) -> Sending: ...
    def _recv_now(self) -> Any:
        """A message, ``NOT_YET`` (await it) or ``BUSY`` (another waits at this end)."""

    def _recv_bytes_now(self, maxlength: int | None, /) -> Any: ...
