"""Whether and when a task runs again: functions without I/O."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.errors import MaxRetriesExceededError
from penstock.tasks.options import TaskOptions
from penstock.wire.task import Call

__all__ = [
    "autoretry_delay",
    "backoff",
    "exceeded",
    "limits_of",
    "may_retry",
    "next_call",
    "wants_autoretry",
]


def may_retry(retries: int, most: int | None) -> bool:
    """True when a run that was retried so often may be retried once more."""
    return most is None or retries < most


def exceeded(call: Call) -> MaxRetriesExceededError:
    """The error of a call that asks for more retries than it may have."""
    return MaxRetriesExceededError(
        f"can't retry {call.task}[{call.id}]: it was retried {call.retries} times already"
    )


def wants_autoretry(options: TaskOptions, error: BaseException) -> bool:
    """True when the task's options say that this exception means another try."""
    return isinstance(error, options.autoretry_for) and not isinstance(
        error, options.dont_autoretry_for
    )


def autoretry_delay(
    options: TaskOptions, retries: int, *, draw: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds until the next try after an exception of ``autoretry_for``."""
    if options.retry_backoff:
        return backoff(
            retries,
            factor=max(1.0, float(options.retry_backoff)),
            most=options.retry_backoff_max,
            draw=draw if options.retry_jitter else None,
        )
    return float(options.retry_kwargs.get("countdown", options.default_retry_delay))


def backoff(
    retries: int,
    *,
    factor: float,
    most: float,
    draw: Callable[[float, float], float] | None,
) -> float:
    """``factor`` times 1, 2, 4 … seconds, at most ``most``; with ``draw`` anything up to that.

    Full jitter: tasks that failed together do not come back together.
    """
    ceiling = min(most, factor * 2.0 ** min(retries, 64))
    return draw(0.0, ceiling) if draw else ceiling


def next_call(
    call: Call,
    *,
    at: float,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Call:
    """The call that follows a run that asked for another: same id, one retry more, due ``at``."""
    if args is not None:
        changes |= {"args": tuple(args), "argsrepr": None}
    if kwargs is not None:
        changes |= {"kwargs": dict(kwargs), "kwargsrepr": None}
    return msgspec.structs.replace(
        call,
        retries=call.retries + 1,
        eta=at,
        parent_id=call.parent_id or call.id,
        **changes,
    )


def limits_of(
    call: Call, hard: float | None, soft: float | None
) -> tuple[float | None, float | None]:
    """The time limits of the next call: those given, else the call's own. Seconds: hard, soft."""
    old_hard, old_soft = call.timelimit
    return (old_hard if hard is None else hard, old_soft if soft is None else soft)
