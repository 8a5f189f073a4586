"""The messages of many calls of one task: what is the same is written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from penstock.message import Message, PackedHeaders
from penstock.wire.arguments import (
    NOTHING_FOLLOWS,
    PLAIN,
    encode_arguments,
    encode_plain,
    shown,
)
from penstock.wire.codec import LIMITS, Limits

__all__ = ["CallTemplate"]

_SMALL = 512  # bytes: such arguments are shown whole
_OWN = frozenset({"id", "root_id", "argsrepr", "kwargsrepr"})  # each call has its own


class CallTemplate:
    """Makes the messages of calls that are sent alike, each in a fifth of the time of the first.

    ``first`` is what :func:`~penstock.wire.task.encode_call` made. Each has its own id (also as
    its key), its own arguments, and itself as its root where the first had.
    """

    __slots__ = ("_first", "_root", "_same", "_task")

    def __init__(self, first: Message) -> None:
        headers = first.headers
        self._first = first
        self._task = headers["task"]
        self._root = None if headers["root_id"] == first.id else quoted(headers["root_id"])[1:-1]
        same = {name: value for name, value in headers.items() if name not in _OWN}
        self._same = PackedHeaders.of(same).json.decode()[1:]

    def message(
        self,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        limits: Limits = LIMITS,
    ) -> Message:
        """One more call, under an id of ours; raises EncodeError for its arguments."""
        return self.messages((task_id,), ((args, kwargs),), limits=limits)[0]

    def messages(
        self,
        ids: Sequence[str],
        calls: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
        *,
        limits: Limits = LIMITS,
    ) -> list[Message]:
        """More calls, under ids of ours; raises EncodeError for their arguments."""
        queue, priority, properties = (
            self._first.queue,
            self._first.priority,
            self._first.properties,
        )
        ready_at, expires_at = self._first.ready_at, self._first.expires_at
        root, same = self._root, self._same
        made = []
        for task_id, (args, kwargs) in zip(ids, calls, strict=True):
            plain = b"\xff"
            if not kwargs and type(args) is tuple and PLAIN.issuperset(map(type, args)):
                try:
                    plain = encode_plain(args)
                except (ValueError, OverflowError):  # a lone surrogate, a very large number
                    plain = b"\xff"
            if plain.isascii() and len(plain) < _SMALL:
                body = b"[" + plain + NOTHING_FOLLOWS
                shown_args, shown_kwargs = quoted(repr(args)), '"{}"'
            else:
                body = encode_arguments(self._task, args, kwargs, limits=limits)
                shown_args = quoted(shown(tuple(args), len(body)))
                shown_kwargs = quoted(shown(kwargs, len(body)))
            headers = (
                f'{{"id":"{task_id}","root_id":"{root or task_id}","argsrepr":{shown_args},'
                f'"kwargsrepr":{shown_kwargs},{same}'
            )
            made.append(
                Message(
                    task_id,
                    queue,
                    PackedHeaders(headers.encode()),
                    body,
                    priority,
                    ready_at,
                    expires_at,
                    task_id,
                    properties,
                )
            )
        return made

    def __repr__(self) -> str:
        return f"<CallTemplate of {self._task}>"
