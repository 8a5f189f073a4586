"""What a result store is: put, get, wait, forget, arrive, close; blocking and awaiting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from penstock.message import Record
from penstock.plan import Engine, Plan, adrive, drive

__all__ = ["PlannedStore", "ResultStore"]


class ResultStore(ABC):
    """Keeps the states and results of tasks, by task id. Thread-, loop- and fork-safe."""

    forgets: ClassVar[bool] = False
    """True for a cache: it may drop a record before its time, so that no wait may be endless."""

    replies: ClassVar[bool] = False
    """True for a store that keeps nothing: results go to an address that is sent with the task."""

    @abstractmethod
    def put(self, records: Sequence[Record]) -> list[Record]:
        """Store records and wake who waits for them; gives those that were refused as stale.

        Refused: a lower attempt of the same publication (``key``), anything after a final record
        of the same publication, anything from an older publication after a final one. A newer
        publication of the same id reopens it. An empty key (a client's own write, a revocation)
        is refused only by a final record.
        """

    @abstractmethod
    def get(self, ids: Sequence[str]) -> list[Record | None]:
        """The current record of each id, None where there is none (or it has expired)."""

    @abstractmethod
    def wait(self, ids: Sequence[str], timeout: float | None) -> list[Record | None]:
        """Block until every id has a final record or ``timeout`` seconds passed; then as get.

        Raises ResultLost where the store knows that it lost what it was given.
        """

    @abstractmethod
    def forget(self, ids: Sequence[str]) -> None:
        """Drop the records of these ids."""

    @abstractmethod
    def arrive(self, group: str, member: str, size: int) -> bool:
        """Note that a member of a group ended: true exactly once, for the last of ``size``."""

    @abstractmethod
    def close(self) -> None:
        """Give up connections."""

    def part(self) -> None:  # noqa: B027 - where nobody is waited for nothing is to be done
        """Only last words follow, and :meth:`close`: a server that is away is not waited for."""

    def reply_address(self, seconds: float = 10.0) -> str:
        """Where results of this process's tasks go, from now on; by a store that ``replies``.

        Raises Unavailable, after about so many seconds at the latest.
        """
        raise NotImplementedError

    async def aput(self, records: Sequence[Record]) -> list[Record]:
        """Awaiting twin of :meth:`put`."""
        raise NotImplementedError

    async def aget(self, ids: Sequence[str]) -> list[Record | None]:
        """Awaiting twin of :meth:`get`."""
        raise NotImplementedError

    async def await_(self, ids: Sequence[str], timeout: float | None) -> list[Record | None]:
        """Awaiting twin of :meth:`wait`."""
        raise NotImplementedError

    async def aforget(self, ids: Sequence[str]) -> None:
        """Awaiting twin of :meth:`forget`."""
        raise NotImplementedError


class PlannedStore(ResultStore):
    """A result store on a request/reply engine: each operation is one plan."""

    engine: Engine

    @abstractmethod
    def _put(self, records: Sequence[Record]) -> Plan[list[Record]]: ...

    @abstractmethod
    def _get(self, ids: Sequence[str]) -> Plan[list[Record | None]]: ...

    @abstractmethod
    def _wait(self, ids: Sequence[str], timeout: float | None) -> Plan[list[Record | None]]: ...

    @abstractmethod
    def _forget(self, ids: Sequence[str]) -> Plan[None]: ...

    @abstractmethod
    def _arrive(self, group: str, member: str, size: int) -> Plan[bool]: ...

    def put(self, records: Sequence[Record]) -> list[Record]:
        return drive(self._put(records), self.engine) if records else []

    async def aput(self, records: Sequence[Record]) -> list[Record]:
        return await adrive(self._put(records), self.engine) if records else []

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        return drive(self._get(ids), self.engine)

    async def aget(self, ids: Sequence[str]) -> list[Record | None]:
        return await adrive(self._get(ids), self.engine)

    def wait(self, ids: Sequence[str], timeout: float | None) -> list[Record | None]:
        return drive(self._wait(ids, timeout), self.engine)

    async def await_(self, ids: Sequence[str], timeout: float | None) -> list[Record | None]:
        return await adrive(self._wait(ids, timeout), self.engine)

    def forget(self, ids: Sequence[str]) -> None:
        drive(self._forget(ids), self.engine)

    async def aforget(self, ids: Sequence[str]) -> None:
        await adrive(self._forget(ids), self.engine)

    def arrive(self, group: str, member: str, size: int) -> bool:
        return drive(self._arrive(group, member, size), self.engine)
