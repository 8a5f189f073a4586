"""Events on the wire: what workers tell of themselves and of tasks, as Celery has it.

An event is a map with its ``type``, who tells it (``hostname``, ``pid``), and when (``timestamp``,
wall time; ``clock``, logical time). Events of workers go one by one, those of tasks in lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.errors import DecodeError
from penstock.wire.codec import LIMITS, Limits, dumps, loads
from penstock.wire.note import Note

__all__ = ["EVENTS", "TYPES", "Event", "event_notes", "read_events"]

Event = Mapping[str, Any]

EVENTS = "celeryev"  # the exchange
_MANY = "task.multi"  # the routing key of a list
_AT_ONCE = 100  # events in one list

# What Celery's workers and clients tell; an application may add types of its own.
TYPES = frozenset({
    "worker-online", "worker-heartbeat", "worker-offline",
    "task-sent", "task-received", "task-started", "task-succeeded", "task-failed",
    "task-retried", "task-revoked", "task-rejected", "task-cancelled",
})  # fmt: skip


def event_notes(events: Sequence[Event], *, hostname: str) -> list[Note]:
    """The events as notes, in order; raises EncodeError."""
    notes: list[Note] = []
    tasks: list[Event] = []
    for event in events:
        if event["type"].startswith("task-"):
            tasks.append(event)
            if len(tasks) < _AT_ONCE:
                continue
            notes += _listed(tasks, hostname)
        else:
            notes += _listed(tasks, hostname)
            notes.append(_note(event["type"].replace("-", "."), event, hostname))
        tasks = []
    return notes + _listed(tasks, hostname)


def _listed(events: Sequence[Event], hostname: str) -> list[Note]:
    return [_note(_MANY, events, hostname)] if events else []


def _note(key: str, body: Any, hostname: str) -> Note:
    return Note(exchange=EVENTS, routing_key=key, headers={"hostname": hostname}, body=dumps(body))


def read_events(note: Note, *, limits: Limits = LIMITS) -> list[dict[str, Any]]:
    """The events in a note; raises DecodeError."""
    body = loads(note.body, limits=limits)
    events: Iterable[Any] = body if isinstance(body, list) else [body]
    read = [event for event in events if isinstance(event, dict) and "type" in event]
    if not read and events:
        raise DecodeError("an event is a map with a type, or a list of such maps")
    return read
