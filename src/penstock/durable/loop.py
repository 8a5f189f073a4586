"""``for item in q`` and ``async for item in q``."""

from __future__ import annotations

from typing import Any, Self

from penstock.durable.custody import Held
from penstock.durable.desk import Desk
from penstock.errors import ShutDown

__all__ = ["Loop"]


class Loop:
    """Items one after the other, each settled when the next one is asked for.

    Whoever leaves the loop drops this object with an item in hand. It is then only marked, and
    returned by the thread that renews leases: objects may be dropped by the garbage collector,
    in the middle of anything, where no broker can be asked.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._held: Held | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        desk = self._desk
        try:
            if self._held is not None:
                desk.run(desk.leaving(self._held, None), late=True)
                self._held = None
            (self._held,) = desk.run(desk.getting(1, True, None, taken=True))
        except ShutDown:
            raise StopIteration from None
        return self._held.item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        desk = self._desk
        try:
            if self._held is not None:
                await desk.arun(desk.leaving(self._held, None), late=True)
                self._held = None
            (self._held,) = await desk.arun(desk.getting(1, True, None, taken=True))
        except ShutDown:
            raise StopAsyncIteration from None
        return self._held.item

    def __del__(self) -> None:
        if self._held is not None:
            self._held.left = True

    def __repr__(self) -> str:
        return f"<loop over {self._desk.name}>"
