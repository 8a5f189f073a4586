"""Statements that go to a PostgreSQL server together, as one transaction and one round trip."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from penstock.engines.pending import Pending

__all__ = ["Batch", "Copy", "Statement", "apart", "statement"]

_AT_ONCE = 500  # rows of a statement: to place each, it looks through all it was asked for
_NAME = re.compile(r"(?<![:\w]):([a-z_]\w*)")  # a parameter, but no part of a `::cast`


class Statement(NamedTuple):
    """SQL as the server takes it, and the names of its parameters in their order."""

    sql: bytes
    names: tuple[str, ...]


@cache
def statement(sql: str, schema: str) -> Statement:
    """The statement for the tables of a schema; in the files it is always called ``penstock``."""
    names: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return names.setdefault(found[1], f"${len(names) + 1}")

    numbered = _NAME.sub(number, sql)
    return Statement(in_schema(numbered, schema).encode(), tuple(names))


def in_schema(sql: str, schema: str) -> str:
    """The SQL for another schema than ``penstock``."""
    if schema == "penstock":
        return sql
    quoted = '"' + schema.replace('"', '""') + '"'
    return re.sub(r"\bpenstock\.", lambda _: quoted + ".", sql)


def apart(names: Iterable[Collection[Hashable]]) -> Iterator[list[int]]:
    """What can stand in one statement, by the names each has: none twice, and not too many."""
    group: list[int] = []
    seen: set[Hashable] = set()
    for number, mine in enumerate(names):
        if len(group) == _AT_ONCE or not seen.isdisjoint(mine):
            yield group
            group, seen = [], set()
        group.append(number)
        seen.update(mine)
    if group:
        yield group


class Copy(NamedTuple):
    """Rows for a table. ``rows`` begins to write them anew, in pieces."""

    sql: str
    rows: Callable[[], Iterable[bytes]]


class Batch:
    """Statements in order; or behind rows to copy, and then nothing comes back of them."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.copy: Copy | None = None

    def call(self, sql: str, **values: Any) -> Pending:
        """One statement; its reply is a list of rows."""
        self.commands.append((sql, values))
        return Pending(len(self.commands) - 1)

    def value(self, sql: str, **values: Any) -> Pending:
        """One statement; its reply is the first value of its first row, or None."""
        return self.call(sql, **values).then(_first)

    def rows(self, sql: str, rows: Callable[[], Iterable[bytes]]) -> None:
        """Copy rows, before all statements: written while the server takes in those before."""
        self.copy = Copy(sql, rows)


def _first(rows: Sequence[Sequence[Any]]) -> Any:
    return rows[0][0] if rows else None
