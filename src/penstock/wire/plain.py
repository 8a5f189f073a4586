"""Task messages as most senders write them, read straight from the text of their headers.

A message of protocol 2 that says nothing beside the protocol, and no moments, needs no map of its
headers: they are read into the value that is wanted, in a quarter of the time. All others are left
to `task.py`, which knows every form and says what is wrong with a bad one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.message import PackedHeaders
from penstock.wire.call import Call, Header
from penstock.wire.codec import Limits

__all__ = ["plain_call", "plain_header"]


class _PlainHeader(Header, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lang: str | None = None


class _PlainCall(Call, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lang: str | None = None


_read_header = msgspec.json.Decoder(_PlainHeader).decode
_read_call = msgspec.json.Decoder(_PlainCall).decode
_NAMES = frozenset(_PlainHeader.__struct_fields__)
_NOTHING = Call(task="-", id="-").embed  # the default, one object for all


def plain_header(headers: Mapping[str, Any], limits: Limits) -> Header | None:
    """The header, or None where the message is not plain."""
    if type(headers) is not PackedHeaders:
        return None
    seen: Header | None = headers.seen
    if seen is None and headers.names is None:
        seen = headers.seen = _plain(headers, limits, _read_header)
    return seen


def plain_call(headers: Mapping[str, Any], limits: Limits) -> Call | None:
    """The call without what its body says, or None where the message is not plain."""
    if type(headers) is not PackedHeaders:
        return None
    call: Call | None = _plain(headers, limits, _read_call)
    if call is None or call.args or call.kwargs or call.headers or call.reply_to:
        return None  # headers of the sender's own that are called as our members are
    return call if call.embed is _NOTHING else None


def _plain(headers: PackedHeaders, limits: Limits, read: Any) -> Any:
    # Each member is of a type that cannot be nested, so there is no depth to be measured.
    if len(headers.json) > limits.max_bytes or len(_NAMES) > limits.max_headers:
        return None
    try:
        found = read(headers.json)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if found.eta is not None or found.expires is not None or found.stamps:
        return None
    headers.names = _NAMES
    return found
