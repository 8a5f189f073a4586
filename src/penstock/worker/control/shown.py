"""How tasks are shown in events and answers: reprs of results, facts about messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from penstock.errors import DecodeError
from penstock.wire.codec import Limits
from penstock.wire.result import decode_result
from penstock.wire.task import decode_call

if TYPE_CHECKING:
    from penstock.message import Message
    from penstock.wire.task import Header
    from penstock.worker.crew import Work

__all__ = ["complete", "received", "request_info"]

_LONGEST = 1024  # characters of a repr
_LARGE = Limits(max_bytes=64 * 1024)  # of a body or result that is read only to be shown


def received(header: Header) -> dict[str, Any]:
    """What task-received says of a task, from its header alone."""
    return {
        "uuid": header.id,
        "name": header.task,
        "args": header.argsrepr or "()",
        "kwargs": header.kwargsrepr or "{}",
        "root_id": header.root_id,
        "parent_id": header.parent_id,
        "retries": header.retries,
        "eta": _moment(header.eta),
        "expires": _moment(header.expires),
    }


def _moment(wall: float | None) -> str | None:
    from penstock.wire.times import write_moment

    return None if wall is None else write_moment(wall)


def complete(event: dict[str, Any], document: bytes | None) -> dict[str, Any]:
    """The event with what a result document says of how the task ended."""
    if document is None:
        return event
    try:
        stored = decode_result(document, limits=_LARGE)
    except DecodeError as error:
        return event | _unreadable(event["type"], str(error))
    if event["type"] == "task-succeeded":
        return event | {"result": _short(repr(stored.result))}
    if event["type"] == "task-revoked":
        why = _arguments(stored.result)
        return event | {"terminated": why == ["terminated"], "expired": why == ["expired"]}
    return event | {"exception": _exception(stored.result), "traceback": stored.traceback}


def _unreadable(kind: str, why: str) -> dict[str, Any]:
    return {"result" if kind == "task-succeeded" else "exception": f"({why})"}


def _exception(result: Any) -> str:
    """The repr of the exception that an exception document stands for."""
    if not isinstance(result, dict):
        return _short(repr(result))
    arguments = ", ".join(map(repr, _arguments(result)))
    return _short(f"{result.get('exc_type')}({arguments})")


def _arguments(result: Any) -> list[Any]:
    said = result.get("exc_message") if isinstance(result, dict) else None
    return said if isinstance(said, list) else [said]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a worker has, at one moment. ``started_at`` is wall time."""

    message: Message
    header: Header
    worker: str
    started_at: float | None = None
    acknowledged: bool = False
    pid: int | None = None

    @classmethod
    def of(cls, work: Work, worker: str, **running: Any) -> Shown:
        """A work as it is now."""
        return cls(
            message=work.lease.message,
            header=work.header,
            worker=worker,
            acknowledged=work.settled,
            **running,
        )


def request_info(shown: Shown) -> dict[str, Any]:
    """The facts about it that Celery's tools know. Reads the body, so not in the worker's loop."""
    message, header = shown.message, shown.header
    try:
        call = decode_call(message, limits=_LARGE)
        args, kwargs = list(call.args), dict(call.kwargs)
    except DecodeError:  # too large, or none: what the sender says of them
        args, kwargs = header.argsrepr or "", header.kwargsrepr or ""  # type: ignore[assignment]
    return {
        "id": header.id,
        "name": header.task,
        "args": args,
        "kwargs": kwargs,
        "type": header.task,
        "hostname": shown.worker,
        "time_start": shown.started_at,
        "acknowledged": shown.acknowledged,
        "delivery_info": {
            "exchange": "",
            "routing_key": message.queue,
            "priority": message.priority,
            "redelivered": bool(message.headers.get("redelivered")),
        },
        "worker_pid": shown.pid,
    }
