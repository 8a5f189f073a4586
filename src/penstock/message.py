"""What brokers carry: messages, leases, settlements, result records. Values only, no I/O.

They are msgspec structs: frozen, slotted, and made in a tenth of the time that a frozen
dataclass takes, which counts where every task makes several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from penstock._core.sending import new_id, new_ids
from penstock.errors import EncodeError

__all__ = [
    "Again",
    "Dead",
    "DeadLetter",
    "Done",
    "Lease",
    "Message",
    "PackedHeaders",
    "Record",
    "Settlement",
    "born",
    "is_after",
    "key_after",
    "new_id",
    "new_ids",
]

_PLACE = "+"  # between the key of a first publication and the place of one that came of it

_encode = msgspec.json.Encoder().encode
_decode_map = msgspec.json.Decoder(dict[str, Any]).decode


def born(id: str) -> float | None:
    """When an id of :func:`new_id` was made (wall time); None for an id of another kind."""
    if len(id) != 36 or id[14] != "7":  # noqa: PLR2004 - a UUID of version 7
        return None
    try:
        return int(id[:8] + id[9:13], 16) / 1000
    except ValueError:
        return None


def key_after(key: str) -> str:
    """The key of the publication that takes this one's place (a retry), the same at each asking.

    A run that is repeated because nobody knows whether it was settled asks for its retry once
    more: that must be no other publication. Later ones sort later, as stores expect of keys.
    """
    root, place = _chain(key)
    digits = str(place + 1)
    return f"{root}{_PLACE}{len(digits)}{digits}"


def is_after(key: str, other: str) -> bool:
    """True when a publication came, by way of :func:`key_after`, of that other one."""
    (root, place), (others_root, others_place) = _chain(key), _chain(other)
    return root == others_root and place > others_place


def _chain(key: str) -> tuple[str, int]:
    """The key of the first publication, and how many came after it up to this one."""
    root, mark, number = key.rpartition(_PLACE)
    return (root, int(number[1:])) if mark and number[1:].isdecimal() else (key, 0)


class PackedHeaders(Mapping[str, Any]):
    """Headers as the JSON text that they travel as, read when somebody first looks into them.

    Made from a template's text they cost a fifth of a map that is encoded; a broker that stores
    JSON takes ``json`` as it is, and gives it out as it was. The text must be a JSON object.
    """

    __slots__ = ("_read", "json", "names", "seen")

    def __init__(self, json: bytes) -> None:
        self.json = json
        self.names: frozenset[str] | None = None  # no others are in it; None: not known
        self.seen: Any = None  # what the wire read from the text, for when it is asked again
        self._read: dict[str, Any] | None = None

    @property
    def is_read(self) -> bool:
        """True once somebody looked into them: then looking again costs nothing."""
        return self._read is not None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PackedHeaders:
        """Any map, packed; raises EncodeError for what JSON has no form for."""
        if type(values) is cls:
            return values
        try:
            return cls(_encode(values))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EncodeError(f"headers must be of JSON's types: {error}") from error

    def _map(self) -> dict[str, Any]:
        if self._read is None:
            try:
                self._read = _decode_map(self.json)
            except (msgspec.MsgspecError, UnicodeDecodeError):  # numbers beyond what it takes
                from json import loads

                self._read = loads(self.json)
        return self._read

    def get(self, name: str, default: Any = None) -> Any:
        """As a map's; most names that are asked for are not there, which the text shows unread."""
        return default if self._lacks(name) else self._map().get(name, default)

    def __contains__(self, name: object) -> bool:
        return not self._lacks(str(name)) and name in self._map()

    def _lacks(self, name: str) -> bool:
        """Whether it surely has no such member, told without reading it."""
        if self.names is not None:
            return name not in self.names
        text = self.json
        return self._read is None and b"\\" not in text and name.encode() not in text

    def __getitem__(self, name: str) -> Any:
        return self._map()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._map())

    def __len__(self) -> int:
        return len(self._map())

    def __repr__(self) -> str:
        return f"<PackedHeaders, {len(self.json)} bytes>"  # they tell arguments, too


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message: what is sent, to which queue, and when it may run.

    ``headers`` and ``body`` belong to the wire format; to brokers the body is bytes. ``key`` names
    the *publication*: leases, attempts and settlement belong to it, not to ``id``, for a task id
    may be sent twice (a retry keeps its id). ``properties`` holds what an AMQP-like envelope says
    besides headers (``content_type`` and the like); empty means Celery's defaults for JSON.
    """

    id: str
    queue: str
    headers: Mapping[str, Any]
    body: bytes
    priority: int = 0
    ready_at: float = 0.0  # wall time from which it may run; 0: at once
    expires_at: float | None = None  # wall time from which it must not start
    key: str = msgspec.field(default_factory=new_id)
    properties: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        """Where it stands, without what it says: arguments are nobody's to read in a log."""
        return f"<Message {self.id!r} in {self.queue!r}, {len(self.body)} bytes, key {self.key!r}>"


class Lease(msgspec.Struct, frozen=True, gc=False):
    """The timed right to work on one message.

    ``fence`` is new with each lease of a publication and grows; every write names it, and a stale
    one is refused. ``attempt`` counts the leases of this publication (1 first), ``deaths`` those
    of them that ended because their holder died or let them run out. ``until`` is the end by the
    broker's own clock: to be compared with nothing but other leases of that broker.
    """

    message: Message
    attempt: int
    until: float
    fence: int
    deaths: int = 0
    revoked: bool = False  # its id was revoked before this claim


class Record(msgspec.Struct, frozen=True, gc=False):
    """One state of one task, as a result store keeps it.

    ``document`` is the result document of the wire format. ``key`` and ``attempt`` say which run
    wrote it: a store refuses a lower attempt of the same publication, anything after a final
    record of the same publication, and anything from an older publication after a final one.
    """

    id: str
    state: str
    document: bytes
    key: str = ""
    attempt: int = 0
    final: bool = False
    ttl: float | None = None  # seconds to keep it; None: for ever
    reply_to: str = ""  # the sender's address, for a store that keeps nothing

    def __repr__(self) -> str:
        """Of what it is a record, without the document."""
        size = len(self.document)
        return f"<Record {self.id!r} {self.state}, attempt {self.attempt}, {size} bytes>"


class Done(msgspec.Struct, frozen=True, gc=False):
    """The message has been dealt with and never comes back."""

    lease: Lease
    record: Record | None = None


class Again(msgspec.Struct, frozen=True, gc=False):
    """The lease ends and ``message`` takes the place of the leased one, at wall time ``at``.

    With the same ``key`` it is the same publication that goes back, to the head of its queue;
    with another one it is a new publication (a retry) at the tail.
    """

    lease: Lease
    message: Message
    at: float = 0.0
    record: Record | None = None


class Dead(msgspec.Struct, frozen=True, gc=False):
    """The message is kept aside, with the reason, until somebody replays or drops it."""

    lease: Lease
    reason: str
    record: Record | None = None


Settlement = Done | Again | Dead


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """A message that was kept aside."""

    message: Message
    reason: str
    attempts: int
    dead_at: float  # wall time
