"""Heeding requests: hear them, do what the table of commands says, have the answer sent."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from penstock.errors import BrokerError, ConfigError, DecodeError, EncodeError
from penstock.wire.control import Request, answer_note, read_request
from penstock.worker.control.herald import HEARTBEAT
from penstock.worker.control.methods import METHODS

if TYPE_CHECKING:
    from penstock.brokers.talk import Ear
    from penstock.wire.note import Note
    from penstock.worker.control.site import Site

__all__ = ["Panel"]

_NO_ANSWER = frozenset({"shutdown", "heartbeat"})


class Panel:
    """Touched by the worker's loop only, which it never holds up for longer than a lookup."""

    def __init__(self, site: Site, ear: Ear | None) -> None:
        """``ear``: None where the broker carries no requests."""
        self._site = site
        self._ear = ear
        self._beat_at = 0.0  # monotonic

    def sources(self) -> list[int]:
        """Descriptors that are readable when there may be requests."""
        return [] if self._ear is None else [self._ear.fileno()]

    def begin(self) -> None:
        """The worker takes tasks from now on."""
        self._beat("worker-online")

    def due(self) -> float:
        """When to call :meth:`turn` at the latest (monotonic)."""
        return self._beat_at

    def turn(self, ready: set[int], now: float) -> None:
        """Do what is asked for, and what is due."""
        if self._ear is not None and self._ear.fileno() in ready:
            self.heed(self._ear)
        if now >= self._beat_at:
            self._beat("worker-heartbeat")

    def end(self) -> None:
        """The worker has ended: its last words."""
        self._beat("worker-offline")
        self._site.outbox.close()
        if self._ear is not None:
            self._ear.close()

    def _beat(self, kind: str) -> None:
        site = self._site
        if not site.herald.heard:
            self._beat_at = float("inf")
            return
        self._beat_at = site.clock.monotonic() + HEARTBEAT
        slots = site.loop.crew.slots.values()
        active = sum(min(len(slot.held), slot.capacity) for slot in slots)
        site.herald.worker(kind, active=active, processed=sum(site.loop.totals.values()))

    # --- requests ----------------------------------------------------------------------------

    def heed(self, ear: Ear) -> None:
        """Do what was asked since the last time."""
        ear.clear()  # before taking: what comes from now on rings again
        try:
            notes = ear.take()
        except (BrokerError, ConfigError):  # once it is there again its bells ring
            return
        for note in notes:
            self._heed(note)

    def _heed(self, note: Note) -> None:
        try:
            request = read_request(note)
            mine = request.is_for(self._site.name)
        except DecodeError as error:
            self._site.log.warning("A request was not understood: %s", error)
            return
        self._site.logical.adjust(request.clock)
        if mine:
            self.answer(request)

    def answer(self, request: Request) -> None:
        """Do it, and have the answer sent to whoever waits for one."""
        value = self._done(request)
        if request.reply_to is None or request.method in _NO_ANSWER:
            return
        clock = self._site.logical.forward()
        self._site.outbox.run(lambda: _answer(request, self._site.name, value, clock))

    def _done(self, request: Request) -> Any:
        try:
            return METHODS[request.method](self._site, **request.arguments)
        except Exception as error:  # noqa: BLE001 - whatever the arguments lead to is the answer
            self._site.log.warning("Asked for %s: %r", reprlib.repr(request.method), error)
            return {"error": repr(error)}


def _answer(
    request: Request, worker: str, value: Any | Callable[[], Any], clock: int
) -> Sequence[Note]:
    try:
        note = answer_note(request, worker, value() if callable(value) else value, clock=clock)
    except (EncodeError, BrokerError, ConfigError, NotImplementedError) as error:
        note = answer_note(request, worker, {"error": repr(error)}, clock=clock)
    return () if note is None else (note,)
