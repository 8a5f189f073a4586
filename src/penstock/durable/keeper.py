"""Renewing what this process holds, from a thread of its own.

One daemon thread for each queue object, started by the first `get`; it ends with `close`, or with
the last block that still runs then. It needs the GIL for some microseconds three times in a lease:
code that keeps the GIL for longer than two thirds of a lease, without a pause, loses what it
holds. It also returns what loops have left.
"""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Callable, Sequence

from penstock import telemetry
from penstock.brokers.base import Broker
from penstock.durable.custody import Custody, Held
from penstock.durable.door import Door
from penstock.durable.tally import Tally
from penstock.errors import PenstockError, ShutDown

__all__ = ["Keeper"]

_RENEWALS = 3  # in one lease
_FAREWELL = 1.0  # seconds
_HURRY = 5  # times as often while the broker is down


class Keeper:
    """Extends leases. Whoever forgets the queue without closing it ends the thread, too."""

    def __init__(
        self,
        *,
        broker: Broker,
        custody: Custody,
        door: Door,
        tally: Tally,
        lease: float,
        give_back: Callable[[Held], None],
    ) -> None:
        self._broker = broker
        self._custody = custody
        self._door = door
        self._tally = tally
        self._lease = lease
        self._give_back = give_back
        self.start_afresh()

    def start_afresh(self) -> None:
        """No thread runs: in a forked child there is none."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._complained = False

    def start(self) -> None:
        """Have a thread that renews, if there is none."""
        if self._thread is None:
            with self._lock:
                self._begin()

    def _begin(self) -> None:
        if self._thread is None and not self._stop.is_set():  # nobody was faster, nor closed it
            pause = self._lease / _RENEWALS
            self._thread = threading.Thread(
                target=_run,
                args=(weakref.ref(self), self._stop, pause),
                name="penstock-keeper",
                daemon=True,
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread, after what it is doing now; none starts again.

        One that a broker keeps waiting is not waited for: it finds the door closed.
        """
        with self._lock:
            self._stop.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_FAREWELL)

    def renew(self) -> float:
        """Extend all that is held; gives the seconds until it is due again.

        Raises ShutDown when the queue is closed and nothing is held any more.
        """
        self._door.enter(late=True)
        try:
            for one in self._custody.left_behind():
                self._give_back(one)
            self._extend(self._custody.to_renew())
        except PenstockError as error:
            self._complain(error)
            return self._lease / _RENEWALS / _HURRY * random.uniform(0.5, 1.0)
        finally:
            self._door.leave()
        self._complained = False
        return self._lease / _RENEWALS

    def _extend(self, held: Sequence[Held]) -> None:
        if held:
            still = self._broker.extend([one.lease for one in held], self._lease)
            lost = self._custody.renewed(held, still)
            self._tally.add("lost", len(lost))
            telemetry.emit("durable.renewed", held=len(still), lost=len(lost))

    def _complain(self, error: PenstockError) -> None:
        telemetry.emit("durable.not_renewed", error=error)
        if not self._complained:
            import logging

            self._complained = True
            logging.getLogger("penstock").warning(
                "items that are held here could not be renewed, trying again: %s", error
            )

    def __repr__(self) -> str:
        return f"<keeper of {self._custody!r}>"


def _run(keeper: weakref.ref[Keeper], stop: threading.Event, pause: float) -> None:
    while not stop.wait(pause):
        alive = keeper()
        if alive is None:
            return
        try:
            pause = alive.renew()
        except ShutDown:
            return
        del alive  # while it waits, nothing here keeps the queue
