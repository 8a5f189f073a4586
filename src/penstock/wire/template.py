"""The messages of many calls of one task: what is the same is written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from penstock._core.sending import pack
from penstock.message import Message, PackedHeaders
from penstock.wire.arguments import NOTHING_FOLLOWS, encode_arguments, shown
from penstock.wire.codec import LIMITS, Limits

__all__ = ["CallTemplate"]

_OWN = frozenset({"id", "root_id", "argsrepr", "kwargsrepr"})  # each call has its own


class CallTemplate:
    """Makes the messages of calls that are sent alike, each in an eighth of the time of the first.

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
        self._same = PackedHeaders.of(same).json[1:]

    def message(
        self,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        limits: Limits = LIMITS,
    ) -> Message:
        """One more call, under an id of ours; raises EncodeError for its arguments."""
        packed = None
        if not kwargs:
            packed = pack(task_id, self._root or task_id, args, self._same, NOTHING_FOLLOWS)
        headers, body = packed or self._pack(task_id, args, kwargs, limits)
        first = self._first
        return Message(
            task_id,
            first.queue,
            PackedHeaders(headers),
            body,
            first.priority,
            first.ready_at,
            first.expires_at,
            task_id,
            first.properties,
        )

    def messages(
        self,
        ids: Sequence[str],
        calls: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
        *,
        limits: Limits = LIMITS,
    ) -> list[Message]:
        """More calls, under ids of ours; raises EncodeError for their arguments."""
        message = self.message
        return [
            message(task_id, args, kwargs, limits=limits)
            for task_id, (args, kwargs) in zip(ids, calls, strict=True)
        ]

    def _pack(
        self, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], limits: Limits
    ) -> tuple[bytes, bytes]:
        """Headers and body, whatever the arguments are."""
        body = encode_arguments(self._task, args, kwargs, limits=limits)
        own = (
            f'{{"id":"{task_id}","root_id":"{self._root or task_id}",'
            f'"argsrepr":{quoted(shown(tuple(args), len(body)))},'
            f'"kwargsrepr":{quoted(shown(kwargs, len(body)))},'
        )
        return own.encode() + self._same, body

    def __repr__(self) -> str:
        return f"<CallTemplate of {self._task}>"
