"""How commands show things: JSON for scripts, tables for people."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from penstock.plain_text import escaped_json, many_lines, one_line

__all__ = ["age", "json_option", "say", "show_json", "show_table", "to_json", "when"]

F = TypeVar("F", bound=Callable[..., Any])

_WIDE = 1000  # columns: nothing is cut off where no terminal looks on
_MINUTE, _HOUR, _DAY = 60, 3600, 86400

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def say(text: str, *, err: bool = False) -> None:
    """Print text, without what a terminal would obey; what is of one line goes by ``one_line``."""
    click.echo(many_lines(text), err=err)


def to_json(value: Any) -> str:
    """A value as JSON on one line; what has no form there as its ``repr``."""
    return escaped_json(msgspec.json.encode(value, enc_hook=repr).decode())


def show_json(value: Any) -> None:
    """Print a value as indented JSON."""
    say(msgspec.json.format(to_json(value), indent=2))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their headings; a ``>`` before a heading aligns its column right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        right = name.startswith(">")
        table.add_column(
            name.removeprefix(">"), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text("-" if cell is None else one_line(str(cell))) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)


def when(wall: float) -> str:
    """A wall time as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))


def age(seconds: float | None) -> str | None:
    """A length of time in its two leading units: ``42s``, ``3m 12s``, ``2h 5m``, ``3d 4h``."""
    if seconds is None:
        return None
    whole = int(seconds)
    for unit, name, small, small_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "m"),
        (_MINUTE, "m", 1, "s"),
    ):
        if whole >= unit:
            return f"{whole // unit}{name} {whole % unit // small}{small_name}"
    return f"{whole}s"
