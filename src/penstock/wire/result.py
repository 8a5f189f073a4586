"""The result document: what a result store keeps of a task, as Celery writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

import msgspec

from penstock.errors import DecodeError
from penstock.wire.codec import LIMITS, Limits, dumps, loads
from penstock.wire.failure import exception_document, read_exception
from penstock.wire.times import read_moment, write_moment

__all__ = [
    "READY_STATES",
    "ResultDocument",
    "decode_result",
    "encode_result",
    "encode_success",
    "exception_document",
    "read_exception",
]

READY_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


class ResultDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One state of one task.

    ``result`` is the value, an exception document, or what a custom state tells. ``date_done`` is
    wall time and written for ready states only. The members from ``name`` to ``queue`` make the
    extended form, which is written when there is a ``name``.
    """

    task_id: str
    status: str
    result: Any = None
    traceback: str | None = None
    children: Sequence[Any] | None = None
    date_done: float | None = None
    group_id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    args: Any = None
    kwargs: Any = None
    worker: str | None = None
    retries: int | None = None
    queue: str | None = None
    stamped_headers: Sequence[str] | None = None
    stamps: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        """Whose state it is, without what was returned or raised."""
        return f"<ResultDocument {self.task_id!r} {self.status}>"


_MEMBERS = frozenset(ResultDocument.__struct_fields__)


def encode_result(doc: ResultDocument, *, limits: Limits = LIMITS) -> bytes:
    """The document as JSON; raises EncodeError."""
    done = doc.date_done if doc.status in READY_STATES else None
    document: dict[str, Any] = {
        "status": doc.status,
        "result": doc.result,
        "traceback": doc.traceback,
        "children": doc.children,
        "date_done": None if done is None else write_moment(done),
    }
    if doc.group_id is not None:
        document["group_id"] = doc.group_id
    if doc.parent_id is not None:
        document["parent_id"] = doc.parent_id
    if doc.name is not None:
        document.update(_extension(doc))
    if doc.stamped_headers is not None:
        document["stamped_headers"] = doc.stamped_headers
        document.update({k: v for k, v in doc.stamps.items() if k not in _MEMBERS})
    document["task_id"] = doc.task_id
    return dumps(document, limits=limits)


def encode_success(task_id: str, value: Any, now: float, *, limits: Limits = LIMITS) -> bytes:
    """What :func:`encode_result` writes of a value that nothing else is to be said of.

    The document of most runs, in a third of the time. ``now`` is wall time. Raises EncodeError.
    """
    return b'{"status": "SUCCESS", "result": %b, "traceback": null, "children": [], %b, %b}' % (
        dumps(value, limits=_of_members(limits)),
        f'"date_done": "{write_moment(now)}"'.encode(),
        f'"task_id": {quoted(task_id)}'.encode(),
    )


@lru_cache
def _of_members(limits: Limits) -> Limits:
    """The limits of what stands in a document: one level is its own."""
    return msgspec.structs.replace(limits, max_depth=limits.max_depth - 1)


def _extension(doc: ResultDocument) -> dict[str, Any]:
    return {
        "name": doc.name,
        "args": doc.args,
        "kwargs": doc.kwargs,
        "worker": doc.worker,
        "retries": doc.retries,
        "queue": doc.queue,
    }


def decode_result(data: bytes | str, *, limits: Limits = LIMITS) -> ResultDocument:
    """The document in JSON text; raises DecodeError."""
    if data[:1] == b"\x80":  # so a pickle begins, and no JSON
        raise DecodeError(
            "it seems to be a pickle, and results are read as JSON alone: let the workers that "
            "write them use the json serializer (result_serializer)"
        )
    document = loads(data, limits=limits)
    if not isinstance(document, dict):
        raise DecodeError(f"a result document is a map, not {type(document).__name__}")
    names = document.get("stamped_headers")
    members: dict[str, Any] = {**document, "stamps": _stamps(document, names) if names else {}}
    if document.get("date_done") is not None:
        members["date_done"] = read_moment(document["date_done"])
    try:
        return msgspec.convert(members, ResultDocument)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # the latter: a member's name
        raise DecodeError(f"a result document that cannot be read: {error}"[:300]) from error


def _stamps(document: dict[str, Any], names: Any) -> dict[str, Any]:
    if not isinstance(names, list | tuple):
        return {}
    return {
        name: document[name]
        for name in names
        if isinstance(name, str) and name in document and name not in _MEMBERS
    }
