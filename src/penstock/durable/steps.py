"""Two colours, one logic: work that yields one call of the broker at a time.

The same work runs blocking (:meth:`Caller.run`) and awaiting (:meth:`Caller.arun`). A broker that
is down is waited for with patience, here and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import msgspec

from penstock.brokers.base import Broker
from penstock.brokers.patience import Patience
from penstock.clock import Clock
from penstock.errors import Unavailable, Uncertain

__all__ = ["Ask", "Caller", "Pause", "Step", "Work"]

R = TypeVar("R")

_AWAITED = frozenset({"publish", "lease", "extend", "settle"})  # those with an awaiting twin


class Ask(msgspec.Struct, frozen=True):
    """Call this method of the broker; the reply is what it gives."""

    method: str
    arguments: tuple[Any, ...] = ()


class Pause(msgspec.Struct, frozen=True):
    """Let so many seconds pass."""

    seconds: float


Step = Ask | Pause
Work = Generator[Step, Any, R]


class Caller:
    """Runs work on a broker. For any number of threads, event loops and forks."""

    def __init__(self, *, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock

    def run(self, work: Work[R], patience: float) -> R:
        """Run it to its end, blocking; ``patience`` seconds for each step of a broker that is down.

        Raises what the broker raises: Unavailable or Uncertain once patience is at its end.
        """
        try:
            step = next(work)
            while True:
                try:
                    reply = self._do(step, patience)
                except Exception as error:  # noqa: BLE001 - handed to the work, which may mend it
                    step = work.throw(error)
                else:
                    step = work.send(reply)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            work.close()

    async def arun(self, work: Work[R], patience: float) -> R:
        """The same, awaiting each step."""
        try:
            step = next(work)
            while True:
                try:
                    reply = await self._ado(step, patience)
                except Exception as error:  # noqa: BLE001 - handed to the work, which may mend it
                    step = work.throw(error)
                else:
                    step = work.send(reply)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            work.close()

    def _do(self, step: Step, timeout: float) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        began = self._clock.monotonic()
        patience = None
        while True:
            try:
                return getattr(self._broker, step.method)(*step.arguments)
            except (Unavailable, Uncertain) as error:
                patience = patience or self._patience(step, began, timeout)
                wait = patience.pause(error)
            time.sleep(wait)

    async def _ado(self, step: Step, timeout: float) -> Any:
        import asyncio

        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        began = self._clock.monotonic()
        patience = None
        while True:
            try:
                if step.method in _AWAITED:
                    return await getattr(self._broker, f"a{step.method}")(*step.arguments)
                return await asyncio.to_thread(getattr(self._broker, step.method), *step.arguments)
            except (Unavailable, Uncertain) as error:
                patience = patience or self._patience(step, began, timeout)
                wait = patience.pause(error)
            await asyncio.sleep(wait)

    def _patience(self, step: Ask, began: float, timeout: float) -> Patience:
        return Patience(
            repeatable=step.method != "publish" or self._broker.capabilities.repeatable,
            began=began,
            timeout=timeout,
            clock=self._clock,
            nothing="nothing was done",
        )

    def __repr__(self) -> str:
        return f"Caller({self._broker!r})"
