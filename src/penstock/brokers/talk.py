"""How a broker carries notes: requests to workers, their answers, and events.

A few methods, beside those that move messages and never used for one. A broker that shares its
server with Celery says the notes where Celery's processes listen. The others do with
:class:`Announcing`, which needs nothing but what the contract of brokers has anyway: ``announce``,
``announced`` and ``listen``.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from penstock.errors import DecodeError
from penstock.message import new_id
from penstock.wire.control import ANSWERS, REQUESTS
from penstock.wire.note import Note, pack_note, unpack_note

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.plan import Listener

__all__ = ["Announcing", "Ear", "Talk", "address_of"]

_KEPT = 1_000  # notes that an ear keeps until they are taken; older ones are forgotten


class Ear(Protocol):
    """Hears notes from the moment it was made. It is also a :class:`~penstock.plan.Listener`.

    Clear it first, take afterwards: then no note is missed.
    """

    def fileno(self) -> int:
        """Readable when notes may have come."""
        ...

    def wait(self, timeout: float | None) -> bool:
        """Block up to ``timeout`` seconds (None: for ever) for some."""
        ...

    def clear(self) -> None:
        """Forget that there are some; they can be taken still."""
        ...

    def take(self) -> list[Note]:
        """The notes since the last call, oldest first. Never blocks for long."""
        ...

    def close(self) -> None:
        """Stop hearing."""
        ...


class Talk(ABC):
    """What processes say to each other over one broker. Usable from any thread."""

    events: ClassVar[bool] = True  # False: nobody could hear events here, so none are sent

    @abstractmethod
    def ask(self, note: Note) -> int | None:
        """Say a request to all workers; gives how many hear it, None where nobody can tell.

        Raises Unavailable or Uncertain.
        """

    @abstractmethod
    def say(self, notes: Sequence[Note]) -> None:
        """Say answers to the boxes they are addressed to, and events to all who watch, in order.

        Raises Unavailable or Uncertain. What nobody listens to is gone.
        """

    @abstractmethod
    def requests(self, worker: str) -> Ear:
        """What is asked of workers from now on, for the worker of that name."""

    @abstractmethod
    def box(self, address: str) -> Ear:
        """The answers that go to that address; see :func:`address_of`."""

    @abstractmethod
    def watch(self) -> Ear:
        """All events from now on."""


def address_of() -> str:
    """An address for a box, which nobody else has."""
    return new_id()


class Announcing(Talk):
    """Notes as announcements of the broker, for brokers that no Celery process uses.

    ``announced`` tells each announcement once per broker object, so whichever ear looks first
    hands out to all of them.
    """

    events = False

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self._ears: list[_Overheard] = []

    def ask(self, note: Note) -> int | None:
        self._broker.announce(pack_note(note))
        try:
            return sum(worker.alive for worker in self._broker.workers())
        except NotImplementedError:  # it does not list them
            return None

    def say(self, notes: Sequence[Note]) -> None:
        for note in notes:
            self._broker.announce(pack_note(note))

    def requests(self, worker: str) -> Ear:
        return self._open(REQUESTS, "")

    def box(self, address: str) -> Ear:
        return self._open(ANSWERS, address)

    def watch(self) -> Ear:
        raise NotImplementedError

    def _open(self, exchange: str, routing_key: str) -> Ear:
        self.hand_out()  # what was said before is not for the new one
        ear = _Overheard(self, self._broker.listen(()), exchange, routing_key)
        with self._lock:
            self._ears.append(ear)
        return ear

    def forget(self, ear: _Overheard) -> None:
        """That ear hears nothing more."""
        with self._lock:
            if ear in self._ears:
                self._ears.remove(ear)

    def hand_out(self) -> None:
        """Give what was announced to the ears it is for."""
        with self._lock:
            for payload in self._broker.announced():
                try:
                    note = unpack_note(payload)
                except DecodeError:  # an announcement of another kind
                    continue
                for ear in self._ears:
                    ear.offer(note)


class _Overheard:
    """An ear among announcements: takes those for one exchange and one routing key."""

    def __init__(
        self, talk: Announcing, listener: Listener, exchange: str, routing_key: str
    ) -> None:
        self._talk = talk
        self._listener = listener
        self._for = (exchange, routing_key)
        self._notes: deque[Note] = deque(maxlen=_KEPT)
        self.fileno = listener.fileno
        self.clear = listener.clear

    def wait(self, timeout: float | None) -> bool:
        # Another ear may have handed out what rings here, so what is there counts as well.
        return bool(self._notes) or self._listener.wait(timeout)

    def offer(self, note: Note) -> None:
        """Keep it if it is for this ear; called with the talk's lock held."""
        if (note.exchange, note.routing_key) == self._for:
            self._notes.append(note)

    def take(self) -> list[Note]:
        self._talk.hand_out()
        taken = []
        while self._notes:
            taken.append(self._notes.popleft())
        return taken

    def close(self) -> None:
        self._talk.forget(self)
        self._listener.close()
