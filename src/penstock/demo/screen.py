"""What the demo shows: a live screen on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from penstock.demo.account import STEPS

__all__ = ["Bars", "Screen"]

_TENTHS = 10
_WIDE = 200  # columns, where no terminal breaks lines


class Bars(Protocol):
    """How far each step is."""

    def show(self, done: Mapping[str, int]) -> None:
        """Show the number of orders for which each step has ended."""
        ...


class Screen:
    """Prints headings, lines, events and the account."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = _WIDE

    def heading(self, text: str) -> None:
        """A part begins."""
        self._console.print(f"\n[bold]{text}[/bold]")

    def line(self, text: str) -> None:
        """Something to know."""
        self._console.print(f"  {text}", markup=False, soft_wrap=True)

    def result(self, text: str) -> None:
        """A line that stands alone, as scripts look for it."""
        self._console.print(text, markup=False, style="bold green", soft_wrap=True)

    def event(self, text: str) -> None:
        """Something was killed or started."""
        self._console.print(f"  [red]✗[/red] {text}", soft_wrap=True)

    def calm(self, text: str) -> None:
        """What was killed is replaced."""
        self._console.print(f"  [green]✓[/green] {text}", soft_wrap=True)

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values under each other."""
        wide = max(len(name) for name, _ in rows)
        for name, value in rows:
            self._console.print(f"  [dim]{name:<{wide}}[/dim]  {escape(value)}", soft_wrap=True)

    def verdict(self, text: str, *, good: bool) -> None:
        """The last line."""
        self._console.print()
        style = "bold green" if good else "bold red"
        self._console.print(text, markup=False, style=style, soft_wrap=True)

    @contextmanager
    def bars(self, total: int) -> Iterator[Bars]:
        """Bars that move on a terminal; elsewhere a line for each tenth of the work."""
        if not self._console.is_terminal:
            yield _Lines(self, total)
            return
        with Progress(
            TextColumn("  {task.description:<5}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        ) as progress:
            yield _Moving(progress, total)


class _Moving:
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._bars = {step: progress.add_task(step, total=total) for step in STEPS}

    def show(self, done: Mapping[str, int]) -> None:
        for step, bar in self._bars.items():
            self._progress.update(bar, completed=done.get(step, 0))


class _Lines:
    def __init__(self, screen: Screen, total: int) -> None:
        self._screen = screen
        self._total = total * len(STEPS)
        self._shown = -1

    def show(self, done: Mapping[str, int]) -> None:
        tenth = sum(done.values()) * _TENTHS // self._total
        if tenth > self._shown:
            self._shown = tenth
            counts = "  ".join(f"{step} {done.get(step, 0)}" for step in STEPS)
            self._screen.line(f"{tenth * _TENTHS:>3} %  {counts}")
