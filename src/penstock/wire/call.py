"""What a task message says, as values: a call, its header, and what follows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from penstock.wire.names import MAX_NAME

__all__ = ["Call", "Embed", "Header", "OldHeader"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = int | float | None


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a message says of its task besides the arguments. ``eta`` and ``expires``: wall time."""

    task: Name
    id: Name
    eta: float | None = None
    expires: float | None = None
    retries: Count = 0
    timelimit: tuple[Seconds, Seconds] = (None, None)  # (hard, soft), as on the wire
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    shadow: str | None = None
    origin: str | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: int = 0
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] = {}
    argsrepr: str | None = None
    kwargsrepr: str | None = None

    def _equals(self, other: _Facts, kind: type[_Facts]) -> bool:
        """By the members of ``kind``, whatever a subclass adds for reading."""
        return all(getattr(self, name) == getattr(other, name) for name in kind.__struct_fields__)

    __hash__ = None  # type: ignore[assignment] # they hold maps

    def __repr__(self) -> str:
        """Which run it is, without its arguments."""
        return f"<{type(self).__name__} {self.task!r}[{self.id!r}], retries {self.retries}>"


class Header(_Facts, frozen=True, kw_only=True):
    """What a supervisor needs to know of a message; reading it leaves the body alone."""

    protocol: ClassVar[int] = 2

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Header) or self.protocol != other.protocol:
            return NotImplemented
        return self._equals(other, Header)

    __hash__ = None


class OldHeader(Header, frozen=True, kw_only=True):
    """The same, of a message of protocol 1."""

    protocol: ClassVar[int] = 1


class Embed(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a run, as plain data: lists of signatures, and the signature of a chord."""

    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: list[Any] | None = None  # the remaining steps, last one first
    chord: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """What there is, without the arguments that signatures hold."""
        return f"<Embed of {[name for name in self.__struct_fields__ if getattr(self, name)]}>"


class Call(_Facts, frozen=True, kw_only=True):
    """One intended run.

    ``headers`` are the sender's own, beside the protocol's. ``argsrepr`` and ``kwargsrepr``, what
    logs show of the arguments, are made when the call is encoded unless they are given.
    """

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}
    reply_to: str | None = None
    headers: Mapping[str, Any] = {}
    embed: Embed = Embed()

    def __eq__(self, other: object) -> bool:
        return self._equals(other, Call) if isinstance(other, Call) else NotImplemented

    __hash__ = None
