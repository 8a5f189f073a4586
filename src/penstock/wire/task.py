"""Task messages: Celery's protocol 2 in both directions, protocol 1 read only.

What a run needs is a :class:`Call`. A supervisor gets by with its :class:`Header`, which is read
without touching the body.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from penstock.errors import DecodeError, EncodeError
from penstock.message import Message, new_id
from penstock.wire.arguments import encode_arguments, shown
from penstock.wire.body import check_format, is_json, read_body
from penstock.wire.call import Call, Embed, Header, OldHeader
from penstock.wire.codec import LIMITS, Limits, dumps
from penstock.wire.names import MAX_NAME, is_name, is_utf8
from penstock.wire.plain import plain_call, plain_header
from penstock.wire.times import read_moment, write_moment

__all__ = [
    "Call",
    "Embed",
    "Header",
    "decode_call",
    "encode_call",
    "outer_header",
    "read_header",
    "readable_id",
    "reply_address",
]

T = TypeVar("T")

_MEMBERS = frozenset({"lang", *Header.__struct_fields__})
# Said by brokers and workers of one delivery, not by the sender of the call.
_OF_DELIVERY = frozenset({"compression", "redelivered"})
_NOT_OWN = _MEMBERS | _OF_DELIVERY
_OF_CUSTODY = "penstock_"
_MAY_BE_NULL = ("retries", "timelimit", "stamps", "replaced_task_nesting")
_TEXT = f"text of 1 to {MAX_NAME} characters"


# --- writing ---------------------------------------------------------------------------------


def encode_call(
    call: Call,
    *,
    queue: str,
    priority: int = 0,
    key: str | None = None,
    ready_at: float = 0.0,
    limits: Limits = LIMITS,
) -> Message:
    """The call as a message of protocol 2; raises EncodeError, and then nothing was sent.

    It may run from ``ready_at`` (wall seconds; 0: from the call's ``eta``, or at once).
    """
    _check_names(call)
    body = encode_arguments(call.task, call.args, call.kwargs, call.embed, limits=limits)
    eta, expires = call.eta, call.expires
    headers: dict[str, Any] = {
        "lang": "py",
        "task": call.task,
        "id": call.id,
        "shadow": call.shadow,
        "eta": None if eta is None else write_moment(eta),
        "expires": None if expires is None else write_moment(expires),
        "group": call.group,
        "group_index": call.group_index,
        "retries": call.retries,
        "timelimit": list(call.timelimit),
        "root_id": call.root_id or call.id,
        "parent_id": call.parent_id,
        "argsrepr": shown(tuple(call.args), len(body)) if call.argsrepr is None else call.argsrepr,
        "kwargsrepr": shown(call.kwargs, len(body)) if call.kwargsrepr is None else call.kwargsrepr,
        "origin": call.origin,
        "ignore_result": call.ignore_result,
        "replaced_task_nesting": call.replaced_task_nesting,
        "stamped_headers": call.stamped_headers,
        "stamps": call.stamps,
    }
    if call.headers or call.stamps:
        _add_own(headers, call, limits)
    return Message(
        id=call.id,
        queue=queue,
        headers=headers,
        body=body,
        priority=priority,
        ready_at=ready_at or eta or 0.0,
        expires_at=expires,
        key=new_id() if key is None else key,
        properties={} if call.reply_to is None else {"reply_to": call.reply_to},
    )


def _check_names(call: Call) -> None:
    if not is_name(call.task):
        raise EncodeError(f"a call needs the name of its task: {_TEXT}, not {shown(call.task)}")
    if not is_name(call.id):
        raise EncodeError(f"a call of {call.task} needs an id: {_TEXT}, not {shown(call.id)}")


def _add_own(headers: dict[str, Any], call: Call, limits: Limits) -> None:
    taken = _MEMBERS.intersection(call.headers)
    if taken:
        raise EncodeError(
            f"headers of {call.task}: {', '.join(sorted(taken))} belong to the protocol; "
            "choose other names, or set the option of that name"
        )
    headers.update(call.headers)
    if len(headers) > limits.max_headers:
        raise EncodeError(
            f"{call.task} has {len(headers)} headers, more than the limit of "
            f"{limits.max_headers}: send them as one map, or as arguments"
        )
    try:
        dumps((call.headers, call.stamps), limits=limits)
    except EncodeError as error:
        raise EncodeError(f"the headers or stamps of {call.task}: {error}") from error


# --- reading ---------------------------------------------------------------------------------


def read_header(message: Message, *, limits: Limits = LIMITS) -> Header:
    """What the message says of its task; raises DecodeError with the reason.

    The body is read only for protocol 1, which has everything there.
    """
    plain = plain_header(message.headers, limits)
    if plain is not None:
        check_format(message, limits)
        return plain
    if "task" not in message.headers:
        return _read_old(message, limits)[0]
    check_format(message, limits)
    return _header(message.headers, limits)


def outer_header(message: Message) -> Header:
    """The same for a broker, which must know ids and moments whatever the body is like.

    What the app accepts is asked where the message is run. Raises DecodeError.
    """
    plain = plain_header(message.headers, LIMITS)
    if plain is not None:
        return plain
    if "task" not in message.headers:
        return _read_old(message, LIMITS)[0]
    return _header(message.headers, _ANY_HEADERS)


_ANY_HEADERS = msgspec.structs.replace(LIMITS, max_headers=sys.maxsize)


def decode_call(message: Message, *, limits: Limits = LIMITS) -> Call:
    """The call that a message asks for; raises DecodeError with the reason."""
    plain = plain_call(message.headers, limits)
    if plain is not None:
        return _completed(plain, message, *_arguments(message, limits))
    if "task" not in message.headers:
        return _decode_old(message, limits)
    header = _header(message.headers, limits)
    return _call(message, header, *_arguments(message, limits))


def _arguments(message: Message, limits: Limits) -> tuple[list[Any], dict[str, Any], Any]:
    """Arguments, keyword arguments and what follows, as the body says them."""
    body = read_body(message, limits)
    if isinstance(body, tuple):  # as a pickle has it
        body = [list(part) if isinstance(part, tuple) else part for part in body]
    if not isinstance(body, list) or len(body) != 3:  # noqa: PLR2004
        raise DecodeError("its body is no list of arguments, keyword arguments and what follows")
    args, kwargs, embed = body
    if not isinstance(args, list):
        raise DecodeError(f"its args are no list but {type(args).__name__}")
    if not isinstance(kwargs, dict):
        raise DecodeError(f"its kwargs are no map but {type(kwargs).__name__}")
    return args, kwargs, embed


def _completed(call: Call, message: Message, args: Any, kwargs: Any, embed: Any) -> Call:
    """A call that was just read from headers alone, with the rest; nobody else has it yet."""
    put = msgspec.structs.force_setattr
    put(call, "args", args)
    put(call, "kwargs", kwargs)
    if embed and not (isinstance(embed, dict) and _all_null(embed)):
        put(call, "embed", _checked(embed, Embed, "what follows it"))
    if reply_to := reply_address(message):
        put(call, "reply_to", reply_to)
    return call


def reply_address(message: Message) -> str:
    """Where the sender waits for results by messages; empty where it does not."""
    reply_to = message.properties.get("reply_to")
    return reply_to if isinstance(reply_to, str) else ""


def readable_id(message: Message) -> str | None:
    """The task id of a message that is otherwise bad, where one can be made out. Never raises."""
    headers = message.headers
    if "id" in headers:
        return _as_id(headers["id"])
    if "task" in headers:  # Celery's senders give the task's id a second time
        return _as_id(message.properties.get("correlation_id"))
    try:
        body = read_body(message, LIMITS)
    except DecodeError:
        return None
    return _as_id(body.get("id")) if isinstance(body, dict) else None


def _as_id(value: Any) -> str | None:
    return value if is_name(value) else None


def _header(headers: Mapping[str, Any], limits: Limits) -> Header:
    if len(headers) > limits.max_headers:
        raise DecodeError(f"{len(headers)} headers, more than the limit of {limits.max_headers}")
    header = _checked(_readable(headers), Header, "its headers")
    _check_text(header)
    return header


def _check_text(header: Header) -> None:
    """What becomes a key in brokers and stores must be text that they can keep."""
    if f"{header.task}{header.id}{header.root_id}{header.parent_id}{header.group}".isascii():
        return
    for name in ("task", "id", "root_id", "parent_id", "group"):
        text = getattr(header, name)
        if text is not None and not is_utf8(text):
            raise DecodeError(f"its {name} has lone surrogates, which UTF-8 cannot write")


def _readable(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members of protocol 1 or 2 with moments as seconds, and without needless nulls."""
    changed = dict(members)
    for name in ("eta", "expires"):
        if changed.get(name) is not None:
            changed[name] = _moment(name, changed[name])
    for name in _MAY_BE_NULL:
        if name in changed and changed[name] is None:
            del changed[name]
    return changed


def _moment(name: str, value: Any) -> float:
    try:
        return read_moment(value)
    except DecodeError as error:
        raise DecodeError(f"its {name}: {error}") from error


def _checked(value: Any, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # the latter: a member's name
        raise DecodeError(f"{where}: {error}"[:300]) from error


def _all_null(members: dict[str, Any]) -> bool:
    return list(members.values()).count(None) == len(members)


def _call(message: Message, header: Header, args: Any, kwargs: Any, embed: Any) -> Call:
    return Call(
        args=args,
        kwargs=kwargs,
        embed=_checked(embed, Embed, "what follows it") if embed else Embed(),
        reply_to=reply_address(message) or None,
        headers=_own(message.headers),
        **msgspec.structs.asdict(header),
    )


def _own(headers: Mapping[str, Any]) -> dict[str, Any]:
    """What the sender says beside the protocol."""
    others = headers.keys() - _NOT_OWN
    if not others:
        return {}
    return {k: v for k, v in headers.items() if k in others and not k.startswith(_OF_CUSTODY)}


def _read_old(message: Message, limits: Limits) -> tuple[Header, dict[str, Any]]:
    """Header and body of protocol 1: one map holds everything, the headers hold nothing.

    Who wants the header alone gets here, too, and must not unpickle: JSON only, whatever the app
    accepts.
    """
    if not is_json(message):
        raise DecodeError(
            "it is no task: its headers name none, and for one of protocol 1 its body is no JSON: "
            "let its sender use protocol 2"
        )
    body = read_body(message, limits)
    if not isinstance(body, dict) or "task" not in body:
        raise DecodeError("it is no task: neither its headers nor its body name one")
    members = _readable(body)  # its `utc` is not asked: moments without an offset are UTC
    if members.get("group") is None:
        members["group"] = body.get("taskset")
    header = _checked(members, OldHeader, "its body")
    _check_text(header)
    return header, body


def _decode_old(message: Message, limits: Limits) -> Call:
    header, body = _read_old(message, limits)
    embed = {name: body.get(name) for name in Embed.__struct_fields__}
    args, kwargs = body.get("args"), body.get("kwargs")
    return _call(
        message, header, [] if args is None else args, {} if kwargs is None else kwargs, embed
    )
