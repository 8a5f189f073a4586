"""From a task's name, arguments and wishes to the message that is sent. No I/O."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypedDict

import msgspec

from penstock.clock import Clock
from penstock.errors import EncodeError
from penstock.message import Message, new_id, new_ids
from penstock.tasks.frame import current, running
from penstock.tasks.names import unknown
from penstock.wire.codec import LIMITS, Limits, unsized
from penstock.wire.task import Call, encode_call
from penstock.wire.template import CallTemplate
from penstock.wire.wishes import Priority, start_time, wall_time, wire_priority

__all__ = ["CallKeywords", "Route", "compose", "compose_many", "wall_time"]


class CallKeywords(TypedDict, total=False):
    """The keywords of ``apply_async``. ``None`` is the same as not given."""

    countdown: float | None  # seconds from now
    eta: datetime | float | None  # not before: aware, or naive in UTC, or Unix time
    expires: datetime | timedelta | float | None  # not after: a time, or seconds from now
    priority: Priority | None
    queue: str | None
    task_id: str | None
    headers: Mapping[str, Any] | None  # one's own; attributes of `task.request`
    retries: int
    ignore_result: bool | None
    time_limit: float | None  # seconds
    soft_time_limit: float | None  # seconds
    shadow: str | None  # the name to show
    root_id: str | None
    parent_id: str | None
    group_id: str | None
    group_index: int | None
    reply_to: str | None


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How calls of one task are sent unless a call says otherwise."""

    task: str
    queue: str
    priority: int | None  # the wire's
    highest_first: bool  # of the broker: 9 before 0
    ignore_result: bool | None = None
    expires: float | None = None  # seconds
    max_bytes: int  # checked once, in `compose`, which names the setting
    limits: Limits = unsized(LIMITS)
    plain: dict[int, CallTemplate] = {}  # by process id: for calls without wishes


def compose(
    route: Route,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: CallKeywords | None = None,
    *,
    clock: Clock,
) -> Message:
    """The message of one call; raises EncodeError for arguments, ConfigError for options."""
    template = _template(route, options, clock)
    if template is None:
        message = _with_options(route, args, kwargs, options or {}, clock.wall())
    else:
        message = template.message(new_id(), args, kwargs, limits=route.limits)
    if len(message.body) > route.max_bytes:
        raise _too_large(message, route)
    return message


def compose_many(
    route: Route,
    calls: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
    options: CallKeywords | None = None,
    *,
    clock: Clock,
) -> list[Message]:
    """As :func:`compose`, for many calls with the same options: they share what is the same."""
    if not calls:
        return []
    template = _template(route, options, clock)
    if template is None:
        template = CallTemplate(_with_options(route, (), {}, options or {}, clock.wall()))
    messages = template.messages(new_ids(len(calls)), calls, limits=route.limits)
    sizes = [len(message.body) for message in messages]
    if max(sizes) > route.max_bytes:
        raise _too_large(messages[sizes.index(max(sizes))], route)
    return messages


def _template(route: Route, options: CallKeywords | None, clock: Clock) -> CallTemplate | None:
    """What makes a call without wishes, which is like every other of its task in this process."""
    if options or route.expires is not None or (current() is not None and running() is not None):
        return None
    pid = os.getpid()  # a fork is another sender
    template = route.plain.get(pid)
    if template is None:
        first = _with_options(route, (), {}, {}, clock.wall())
        template = route.plain[pid] = CallTemplate(first)
    return template


def _too_large(message: Message, route: Route) -> EncodeError:
    return EncodeError(
        f"the arguments of {route.task} take {len(message.body)} bytes, more than "
        f"message_max_bytes ({route.max_bytes}): send a reference to them, or raise the setting"
    )


def _call(
    route: Route, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], **more: Any
) -> Call:
    frame = running()
    if frame is None or frame.call is None:
        root, parent = task_id, None
    else:
        root, parent = frame.call.root_id or frame.call.id, frame.call.id
    return Call(
        task=route.task,
        id=task_id,
        args=args,
        kwargs=kwargs,
        root_id=more.pop("root_id", None) or root,
        parent_id=more.pop("parent_id", None) or parent,
        ignore_result=more.pop("ignore_result", route.ignore_result),
        origin=_origin(os.getpid()),
        **more,
    )


def _with_options(
    route: Route,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: CallKeywords,
    now: float,
) -> Message:
    wishes = _given(options)
    eta = start_time(wishes.pop("countdown", None), wishes.pop("eta", None), now)
    expires = wishes.pop("expires", route.expires)
    priority = wishes.pop("priority", None)
    queue = wishes.pop("queue", route.queue)
    task_id = wishes.pop("task_id", None) or new_id()
    limits = (wishes.pop("time_limit", None), wishes.pop("soft_time_limit", None))
    if "group_id" in wishes:
        wishes["group"] = wishes.pop("group_id")
    call = _call(
        route,
        task_id,
        args,
        kwargs,
        eta=eta,
        expires=None if expires is None else wall_time(expires, now, relative=True),
        timelimit=limits,
        **wishes,
    )
    return encode_call(
        call,
        queue=queue,
        priority=(route.priority or 0)
        if priority is None
        else wire_priority(priority, highest_first=route.highest_first),
        ready_at=eta or 0.0,
        limits=route.limits,
    )


def _given(options: CallKeywords) -> dict[str, Any]:
    """The options that were given, by name; raises ConfigError for one that does not exist."""
    known = CallKeywords.__annotations__
    for name in options:
        if name not in known:
            raise unknown("option of apply_async", name, known)
    return {name: value for name, value in options.items() if value is not None}


@lru_cache(maxsize=4)
def _origin(pid: int) -> str:
    """Who sends, as Celery writes it; by process id, for a fork is another sender."""
    return f"gen{pid}@{os.uname().nodename}"
