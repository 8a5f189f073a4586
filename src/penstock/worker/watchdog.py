"""The watchdog: a worker that should work and does not is mended, or ended so that it is replaced.

Two things it knows are never right for long: messages wait, slots are free and nothing is claimed;
or the loop does not come round. It counts its own looks instead of reading a clock: while the
whole process is stopped, or the machine asleep, nobody looks.
"""

from __future__ import annotations

import enum
import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from logging import Logger

    from penstock.brokers.base import Broker
    from penstock.worker.vitals import Vitals

__all__ = ["EXIT_CODE", "Order", "Suspicion", "Watchdog"]

EXIT_CODE = 3
LOOKS = 6  # in the time that may pass
_LONGEST_TURN = 5.0  # seconds: an idle loop comes round once in one


class Order(enum.Enum):
    """What is to be done."""

    RECONNECT = "reconnect"
    EXIT = "exit"


class Suspicion:
    """How long it has looked wrong, in looks; no I/O and no clock.

    ``turn`` is how many looks the loop may take to come round without being suspected to hang.
    """

    def __init__(self, *, turn: int = 1) -> None:
        self._turn = turn
        self._turns = self._claims = -1
        self.stuck = self.starved = 0

    def look(
        self, *, turns: int, claims: int, room: bool, waiting: Callable[[], bool]
    ) -> Order | None:
        """What to do now. ``waiting`` is only asked where the rest gives reason to."""
        self.stuck = self.stuck + 1 if turns == self._turns else 0
        starved = claims == self._claims and room
        self._turns, self._claims = turns, claims
        if self.stuck >= self._turn:  # and whoever asked the broker now might hang as well
            return Order.EXIT if self.stuck >= max(self._turn, 2 * LOOKS) else None
        self.starved = self.starved + 1 if starved and waiting() else 0
        if self.starved >= 2 * LOOKS:
            return Order.EXIT
        return Order.RECONNECT if self.starved == LOOKS else None


class Watchdog:
    """A thread that looks, reconnects the broker, and at last asks for the end."""

    def __init__(
        self,
        *,
        vitals: Vitals,
        broker: Broker,
        queues: Callable[[], Sequence[str]],
        away: Callable[[], bool],
        timeout: float,
        quit: Callable[[], None],
        log: Logger,
    ) -> None:
        self._vitals = vitals
        self._broker = broker
        self._queues = queues
        self._away = away  # the loop knows that its broker is not there
        self._pause = timeout / LOOKS
        self._quit = quit
        self._log = log
        self._suspicion = Suspicion(turn=math.ceil(_LONGEST_TURN / self._pause))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; does not wait, for the broker may hold the thread up."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(self._pause):
            order = self._look()
            if order is Order.RECONNECT:
                self._log.error(
                    "Messages wait, slots are free, and nothing was claimed for %.3g s: "
                    "connecting to the broker anew",
                    self._pause * LOOKS,
                )
                self._reconnect()
            elif order is Order.EXIT:
                stuck = self._suspicion.starved < 2 * LOOKS and self._suspicion.stuck
                self._log.critical(
                    "%s for %.3g s: giving up with exit code %d",
                    "The loop has not come round" if stuck else "Still nothing was claimed",
                    self._pause * (stuck or 2 * LOOKS),
                    EXIT_CODE,
                )
                self._quit()
                return

    def _look(self) -> Order | None:
        vitals = self._vitals
        return self._suspicion.look(
            turns=vitals.turns,
            claims=vitals.claims,
            room=vitals.room > 0 and not self._away(),
            waiting=self._waiting,
        )

    def _waiting(self) -> bool:
        served = set(self._queues())
        try:
            states = self._broker.queues()
        except PenstockError:  # not there, or it cannot tell: the loop sees to that
            return False
        return any(state.ready and state.name in served for state in states)

    def _reconnect(self) -> None:
        try:
            self._broker.reconnect()
            self._vitals.anew = True
        except PenstockError as error:
            self._log.error("The broker cannot be connected anew: %s", error)

    def __repr__(self) -> str:
        seen = self._suspicion
        return f"Watchdog(stuck={seen.stuck}, starved={seen.starved})"
