"""Result records as rows: Celery's columns, and what they cannot say."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.engines.memory_records import is_stale
from penstock.engines.sql_tables import EXTENDED
from penstock.message import Record
from penstock.wire.times import read_moment, write_moment

__all__ = ["Rows", "as_record", "as_rows", "blank", "refuses"]

_READY = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
_ENCODED = ("result", "children", "args", "kwargs", "stamps")  # JSON in a blob
_NAMED = ("name", "args", "kwargs", "worker", "retries", "queue")  # the extended form
_LENGTHS = {"status": 50, "name": 155, "worker": 155, "queue": 155}
_TEXTS = ("status", "traceback", "name", "worker", "queue")
_MISSING = object()


class Rows(msgspec.Struct, frozen=True):
    """One record: the columns of ``celery_taskmeta``, and those of ``penstock_results``."""

    theirs: dict[str, Any]
    ours: dict[str, Any]


def as_rows(record: Record, now: float) -> Rows:
    """What is written for a record."""
    document = _read(record)
    theirs, rest = _columns(record, now) if document is None else _split(document, record, now)
    ours = {
        "task_id": record.id,
        "state": theirs["status"],
        "date_done": theirs["date_done"],
        "publication": record.key,
        "attempt": record.attempt,
        "final": record.final,
        "digest": _digest(record.document),
        "ttl": record.ttl,
        "ends_at": None if record.ttl is None else now + record.ttl,
        "rest": None if document is None else _dumps(rest),
        "document": record.document if document is None else None,
    }
    return Rows(theirs, ours)


def blank(task_id: str, ends_at: float) -> dict[str, Any]:
    """A row of ours that says nothing yet, to be locked."""
    return {
        "task_id": task_id,
        "publication": "",
        "attempt": 0,
        "final": False,
        "digest": b"",
        "ends_at": ends_at,
    }


def _digest(document: bytes) -> bytes:
    return hashlib.blake2b(document, digest_size=16).digest()


def _dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


def _read(record: Record) -> dict[str, Any] | None:
    """The document, where Celery's columns have a place for what it says."""
    try:
        document = json.loads(record.document)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("status") != record.state:
        return None
    if not all(isinstance(document.get(name), str | None) for name in _TEXTS):
        return None
    retries = document.get("retries")
    return document if retries is None or type(retries) is int else None


def _columns(record: Record, now: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns for a document that is none: its state, and when."""
    columns = dict.fromkeys(("result", "traceback", *EXTENDED))
    columns |= {"task_id": record.id, "status": record.state[: _LENGTHS["status"]]}
    return columns | {"date_done": _naive(now) if record.state in _READY else None}, {}


def _split(
    document: dict[str, Any], record: Record, now: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Celery's columns, and the members that cannot be told from them."""
    columns, _ = _columns(record, now)
    columns |= {
        "result": _dumps(document.get("result")),
        "traceback": _fit(document.get("traceback"), None),
        "children": _dumps(document["children"]) if document.get("children") else None,
    }
    if document.get("date_done") is not None:
        columns["date_done"] = _naive(_moment(document["date_done"], now))
    if document.get("name") is not None:
        for name in _NAMED:
            value = document.get(name)
            columns[name] = _dumps(value) if name in _ENCODED else _fit(value, _LENGTHS.get(name))
    headers = document.get("stamped_headers")
    if isinstance(headers, list) and headers:
        told = {name: document[name] for name in headers if name in document}
        columns["stamps"] = _dumps({"stamped_headers": headers, "stamps": told})
    rebuilt = _rebuilt(columns)
    rest = {k: v for k, v in document.items() if rebuilt.get(k, _MISSING) != v}
    rest["date_done"] = document.get("date_done")
    gone = [name for name in rebuilt if name not in document]
    return columns, rest | ({"": gone} if gone else {})


def _fit(value: Any, length: int | None) -> Any:
    """A text that any database takes."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:length]


def _moment(text: Any, now: float) -> float:
    try:
        return read_moment(text)
    except (ValueError, TypeError):
        return now


def _naive(wall: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(wall, dt.UTC).replace(tzinfo=None)


def _rebuilt(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The document as Celery's columns tell it; raises ValueError for what is no JSON."""
    done = columns.get("date_done")
    document: dict[str, Any] = {
        "status": columns["status"],
        "result": _loads(columns["result"]),
        "traceback": columns["traceback"],
        "children": _loads(columns.get("children")),
        "date_done": None
        if done is None
        else write_moment(done.replace(tzinfo=dt.UTC).timestamp()),
    }
    if columns.get("name") is not None:
        for name in _NAMED:
            value = columns.get(name)
            document[name] = _loads(value) if name in _ENCODED else value
    stamps = _loads(columns.get("stamps"))
    if isinstance(stamps, dict) and isinstance(stamps.get("stamps"), dict):
        document |= stamps["stamps"]
        document["stamped_headers"] = stamps.get("stamped_headers")
    return document | {"task_id": columns["task_id"]}


def _loads(blob: Any) -> Any:
    return None if blob is None else json.loads(bytes(blob))


def as_record(
    theirs: Mapping[str, Any], ours: Mapping[str, Any] | None, now: float
) -> Record | None:
    """The record in two rows that belong together; None when its time is over."""
    if ours is None or not _belongs(ours, theirs):
        return _theirs(theirs)
    if ours["ends_at"] is not None and ours["ends_at"] <= now:
        return None
    return Record(
        theirs["task_id"],
        ours["state"],
        _document(theirs, ours),
        ours["publication"],
        ours["attempt"],
        bool(ours["final"]),
        ours["ttl"],
    )


def _belongs(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """False when a Celery process has written its row since."""
    same_state: bool = ours["state"] == theirs["status"]
    return same_state and bool(ours["date_done"] == theirs["date_done"])


def _document(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bytes:
    if ours["document"] is not None:
        return bytes(ours["document"])
    try:
        document = _rebuilt(theirs)
    except ValueError:
        return bytes(theirs["result"] or b"")
    rest = json.loads(bytes(ours["rest"]))
    for name in rest.pop("", ()):
        del document[name]
    return _dumps(document | rest)


def _theirs(row: Mapping[str, Any]) -> Record:
    """What a Celery process wrote."""
    state = str(row["status"])
    try:
        document = _dumps(_rebuilt(row))
    except ValueError:  # a pickle, say: whoever reads it is told
        document = bytes(row["result"] or b"")
    return Record(row["task_id"], state, document, final=state in _READY)


def refuses(
    theirs: Mapping[str, Any] | None, ours: Mapping[str, Any] | None, record: Record, now: float
) -> bool:
    """True when ``record`` must not replace what these rows hold."""
    if theirs is None:
        return False
    if ours is None or ours["state"] is None or not _belongs(ours, theirs):
        return theirs["status"] == "SUCCESS" or (not record.key and theirs["status"] in _READY)
    if ours["ends_at"] is not None and ours["ends_at"] <= now:
        return False
    same = bytes(ours["digest"]) == _digest(record.document)
    current = Record(
        record.id,
        ours["state"],
        record.document if same else b"",
        ours["publication"],
        ours["attempt"],
        bool(ours["final"]),
        ours["ttl"],
    )
    shown = msgspec.structs.replace(record, state=record.state[: _LENGTHS["status"]])
    return is_stale(shown, current)
