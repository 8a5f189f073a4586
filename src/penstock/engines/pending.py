"""Values that are known once the replies to a batch are there.

An exchange's ``run`` asks its batch for things and gives back a :class:`Pending`, or a list or
tuple with some in it; once the replies are there, each stands for what it was waiting for. So
several exchanges that are run together cost one round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Pending", "resolved"]


class Pending:
    """What a reply will be made into."""

    __slots__ = ("_made_by", "_place")

    def __init__(self, place: int, made_by: tuple[Callable[[Any], Any], ...] = ()) -> None:
        self._place = place
        self._made_by = made_by

    def then(self, function: Callable[[Any], Any]) -> Pending:
        """The same with the reply, or what was made of it, passed through a function."""
        return Pending(self._place, (*self._made_by, function))

    def resolve(self, replies: Sequence[Any]) -> Any:
        """The value, now that the replies are there."""
        value = replies[self._place]
        for function in self._made_by:
            value = function(value)
        return value


def resolved(value: Any, replies: Sequence[Any]) -> Any:
    """The value that ``run`` gave, with each Pending replaced by what it stands for."""
    if isinstance(value, Pending):
        return value.resolve(replies)
    if isinstance(value, list):
        return [resolved(part, replies) for part in value]
    if isinstance(value, tuple):
        return tuple(resolved(part, replies) for part in value)
    return value
