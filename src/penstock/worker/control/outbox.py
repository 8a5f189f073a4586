"""What the worker tells leaves by a thread of its own, so that its loop never waits for it.

Events and answers are told to whoever listens and kept for nobody: what cannot be said because the
broker is away is dropped.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from penstock.errors import PenstockError
from penstock.wire.events import event_notes
from penstock.worker.control.shown import complete

if TYPE_CHECKING:
    from logging import Logger

    from penstock.brokers.talk import Talk
    from penstock.wire.note import Note

__all__ = ["Outbox"]

_MOST_EVENTS = 10_000  # that wait: when the broker does not keep up, later ones are dropped
_AT_ONCE = 1_000  # things taken together
_LAST_WORDS = 2.0  # seconds for what still waits when the worker ends

Errand = Callable[[], "Sequence[Note]"]
_Event = tuple[dict[str, Any], bytes | None]


class Outbox:
    """Takes from the worker's loop without blocking; its thread begins with the first thing."""

    def __init__(self, talk: Talk, *, name: str, log: Logger) -> None:
        self._talk = talk
        self._name = name
        self._log = log
        self._things: queue.SimpleQueue[_Event | Errand | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failing = False
        self.dropped = 0

    def tell(self, event: dict[str, Any], document: bytes | None = None) -> None:
        """Send this event; what it says of a result is made from the document."""
        if self._things.qsize() >= _MOST_EVENTS:
            self.dropped += 1
            return
        self._put((event, document))

    def run(self, errand: Errand) -> None:
        """Have this done by the thread, and the notes that it gives sent."""
        self._put(errand)

    def _put(self, thing: _Event | Errand) -> None:
        self._things.put(thing)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="penstock-outbox", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Send what is left, as far as that takes a moment only."""
        if self._thread is not None:
            self._things.put(None)
            self._thread.join(_LAST_WORDS)

    # --- the thread --------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            things = self._taken()
            self._send(self._notes([thing for thing in things if thing is not None]))
            if None in things:
                return

    def _taken(self) -> list[_Event | Errand | None]:
        things = [self._things.get()]
        while len(things) < _AT_ONCE and things[-1] is not None:
            try:
                things.append(self._things.get_nowait())
            except queue.Empty:
                break
        return things

    def _notes(self, things: Sequence[_Event | Errand]) -> list[Note]:
        notes: list[Note] = []
        events: list[dict[str, Any]] = []
        for thing in things:
            if isinstance(thing, tuple):
                events.append(complete(*thing))
                continue
            notes += event_notes(events, hostname=self._name)
            events = []
            notes += self._run(thing)
        return notes + event_notes(events, hostname=self._name)

    def _run(self, errand: Errand) -> Sequence[Note]:
        try:
            return errand()
        except PenstockError as error:
            self._log.warning("Not done: %s", error)
            return ()

    def _send(self, notes: Sequence[Note]) -> None:
        if not notes:
            return
        try:
            self._talk.say(notes)
        except PenstockError as error:
            if not self._failing:
                self._log.warning("Events and answers are not sent for now: %s", error)
            self._failing = True
        else:
            self._failing = False

    def __repr__(self) -> str:
        return f"Outbox(waiting={self._things.qsize()}, dropped={self.dropped})"
