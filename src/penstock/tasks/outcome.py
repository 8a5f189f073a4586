"""How a run ended, as a value, and what is stored of it."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.errors import EncodeError, PenstockError
from penstock.message import Message, Record, key_after
from penstock.tasks.frame import Delivery
from penstock.tasks.settings import Settings
from penstock.tasks.signals import Reject
from penstock.wire.arguments import shown
from penstock.wire.body import is_json, with_body_of
from penstock.wire.codec import unsized
from penstock.wire.result import (
    READY_STATES,
    ResultDocument,
    encode_result,
    encode_success,
    exception_document,
)
from penstock.wire.task import Call, encode_call

__all__ = [
    "Failed",
    "Ignored",
    "Outcome",
    "Rejected",
    "Report",
    "Retrying",
    "Succeeded",
    "followed",
    "record",
    "report",
    "state_document",
]

_SHOWN = 1000  # characters of what is too large to be stored


class Succeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The function returned. ``runtime`` is seconds."""

    value: Any
    runtime: float
    children: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """How long it took, without the value."""
        return f"<Succeeded with {type(self.value).__qualname__} in {self.runtime:.4f} s>"


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The function raised, or what it returned cannot be stored."""

    error: BaseException
    traceback: str | None
    runtime: float
    children: tuple[str, ...] = ()


class Retrying(msgspec.Struct, frozen=True, kw_only=True):
    """The task is to run again as ``call``, not before the wall time ``at``.

    ``queue`` and ``priority`` are None where it stays as it was.
    """

    call: Call
    at: float
    error: BaseException | None
    traceback: str | None
    runtime: float
    queue: str | None = None
    priority: int | None = None
    children: tuple[str, ...] = ()


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """The task asked that nothing be stored."""

    runtime: float


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """The task refused its message."""

    reason: str
    requeue: bool
    runtime: float


Outcome = Succeeded | Failed | Retrying | Ignored | Rejected


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome ready to be stored: ``document`` is None where nothing is to be stored.

    ``outcome`` may differ from the one that was reported: a value that cannot be stored is a
    failure.
    """

    outcome: Outcome
    state: str
    document: bytes | None

    def __repr__(self) -> str:
        return f"<Report of {self.outcome!r}>"


def report(
    outcome: Outcome,
    call: Call,
    *,
    settings: Settings,
    delivery: Delivery,
    now: float,
    ignore_result: bool = False,
) -> Report:
    """What to store of an outcome. Never raises for what a task returned or raised.

    ``now`` is wall time.
    """
    if ignore_result or isinstance(outcome, Ignored) or _goes_back(outcome):
        return Report(outcome=outcome, state=_state(outcome), document=None)
    try:
        data = _encoded(outcome, call, settings, delivery, now)
    except PenstockError as error:
        outcome = _unstorable(outcome, call, error)
        data = _encoded(outcome, call, settings, delivery, now)
    return Report(outcome=outcome, state=_state(outcome), document=data)


def _goes_back(outcome: Outcome) -> bool:
    return isinstance(outcome, Rejected) and outcome.requeue


def _state(outcome: Outcome) -> str:
    match outcome:
        case Succeeded():
            return "SUCCESS"
        case Retrying():
            return "RETRY"
        case Ignored():
            return "IGNORED"
        case Failed() | Rejected():
            return "FAILURE"


def _encoded(
    outcome: Outcome, call: Call, settings: Settings, delivery: Delivery, now: float
) -> bytes:
    limits = unsized(settings.message_limits)  # the size is checked here, to name the setting
    alone = call.group is None and call.parent_id is None and not settings.result_extended
    if isinstance(outcome, Succeeded) and alone and not outcome.children:
        data = encode_success(call.id, outcome.value, now, limits=limits)
    else:
        data = encode_result(_document(outcome, call, settings, delivery, now), limits=limits)
    if len(data) > settings.result_max_bytes:
        raise EncodeError(
            f"the result of {call.task} takes {len(data)} bytes, more than result_max_bytes "
            f"({settings.result_max_bytes}): return a reference to it, or raise the setting"
        )
    return data


def _document(
    outcome: Outcome, call: Call, settings: Settings, delivery: Delivery, now: float
) -> ResultDocument:
    state = _state(outcome)
    facts: dict[str, Any] = {}
    if settings.result_extended:
        facts = {
            "name": call.task,
            "args": call.args,
            "kwargs": call.kwargs,
            "worker": delivery.hostname,
            "retries": call.retries,
            "queue": delivery.queue,
        }
    return ResultDocument(
        task_id=call.id,
        status=state,
        result=_result(outcome),
        traceback=getattr(outcome, "traceback", None),
        children=[[[child, None], None] for child in _children(outcome)],
        date_done=now if state in READY_STATES else None,
        group_id=call.group,
        parent_id=call.parent_id,
        **facts,
    )


def _result(outcome: Outcome) -> Any:
    match outcome:
        case Succeeded(value=value):
            return value
        case Failed(error=error):
            return exception_document(error)
        case Retrying(error=cause):
            return None if cause is None else exception_document(cause)
        case Rejected(reason=reason):
            return exception_document(Reject(reason, requeue=False))
        case Ignored():
            return None


def _children(outcome: Outcome) -> tuple[str, ...]:
    children: tuple[str, ...] = getattr(outcome, "children", ())
    # As Celery has it, a retry is a child of the run that asked for it, under the same id.
    return (*children, outcome.call.id) if isinstance(outcome, Retrying) else children


def _unstorable(outcome: Outcome, call: Call, error: PenstockError) -> Outcome:
    """The outcome to store instead of one that cannot be."""
    if isinstance(outcome, Succeeded):
        return Failed(
            error=_naming(error, outcome.value, call),
            traceback=None,
            runtime=outcome.runtime,
            children=outcome.children,
        )
    if isinstance(outcome, Rejected):
        return msgspec.structs.replace(outcome, reason=outcome.reason[:_SHOWN])
    if isinstance(outcome, Failed | Retrying) and outcome.error is not None:
        smaller = EncodeError(f"{_shown(outcome.error)} (shortened: {error})")
        traceback = outcome.traceback and outcome.traceback[-_SHOWN:]
        return msgspec.structs.replace(outcome, error=smaller, traceback=traceback)
    return outcome


def _naming(error: PenstockError, value: object, call: Call) -> EncodeError:
    text = str(error)
    if call.task not in text:
        text = f"{call.task} returned a value of type {type(value).__qualname__}: {text}"
    return EncodeError(text)


def _shown(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the task's own __str__ may raise anything
        text = "(its text cannot be had)"
    return f"{type(error).__qualname__}: {text}"[:_SHOWN]


def record(
    written: Report, call: Call, *, key: str, attempt: int, ttl: float | None
) -> Record | None:
    """The report as a record for the result store; None where nothing is to be stored."""
    if written.document is None:
        return None
    return Record(
        id=call.id,
        state=written.state,
        document=written.document,
        key=key,
        attempt=attempt,
        final=written.state in READY_STATES,
        ttl=ttl,
        reply_to=call.reply_to or "",
    )


def followed(
    outcome: Outcome, call: Call, message: Message, *, settings: Settings
) -> tuple[Outcome, Message | None]:
    """The outcome, and for a retry the message of the next run: a new publication.

    A retry that cannot be sent (it asks for arguments that have no form, or too long ones) is a
    failure.
    """
    if not isinstance(outcome, Retrying):
        return outcome, None
    try:
        following = _next_message(outcome, call, message, settings)
    except EncodeError as error:
        failed = Failed(
            error=error,
            traceback=outcome.traceback,
            runtime=outcome.runtime,
            children=outcome.children,
        )
        return failed, None
    return outcome, following


def _bodiless(call: Call) -> Call:
    return msgspec.structs.replace(
        call,
        args=(),
        kwargs={},
        argsrepr=call.argsrepr or shown(tuple(call.args)),
        kwargsrepr=call.kwargsrepr or shown(call.kwargs),
    )


def _next_message(outcome: Retrying, call: Call, message: Message, settings: Settings) -> Message:
    after = outcome.call
    kept = after.args is call.args and after.kwargs is call.kwargs and not is_json(message)
    following = encode_call(
        # A pickle may hold what JSON has no form for: where nothing changed it travels on as it is.
        _bodiless(after) if kept else after,
        queue=outcome.queue or message.queue,
        priority=message.priority if outcome.priority is None else outcome.priority,
        ready_at=outcome.at,
        key=key_after(message.key),
        limits=unsized(settings.message_limits),
    )
    if kept:
        following = with_body_of(message, following)
    if len(following.body) > settings.message_max_bytes:
        raise EncodeError(
            f"the arguments of a retry of {call.task} take {len(following.body)} bytes, more than "
            f"message_max_bytes ({settings.message_max_bytes}): send a reference to them"
        )
    return following


def state_document(task_id: str, state: str, meta: object) -> bytes:
    """The document of a state that a task reports itself; raises EncodeError."""
    return encode_result(ResultDocument(task_id=task_id, status=state, result=meta, children=[]))
