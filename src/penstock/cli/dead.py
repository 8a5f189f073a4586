"""``penstock dead``: what was kept aside, and what to do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from penstock.cli.screen import json_option, say, show_json, show_table, when
from penstock.cli.source import Source, pass_source, with_source
from penstock.errors import ConfigError
from penstock.plain_text import one_line

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.message import DeadLetter

__all__ = ["dead"]

_ALL = 1_000_000  # as many as one command looks at

_EXAMPLES = """\b
A message becomes a dead letter, with its reason, when nobody can run it (its task is unknown, it
cannot be read), when it killed its process too often, or when its task rejected it.

\b
Examples:
  penstock -A tasks dead list
  penstock -A tasks dead show 0197c6e2-…        all there is to know about one
  penstock -A tasks dead replay 0197c6e2-…      send it again
  penstock -A tasks dead replay --all
  penstock -A tasks dead drop 0197c6e2-…        forget it
"""


@click.group(epilog=_EXAMPLES)
@with_source
def dead() -> None:
    """Dead letters: list, show, replay, drop."""


@dead.command("list", epilog="\b\nExample:\n  penstock -A tasks dead list --queue mail --json")
@click.option("-Q", "--queue", help="Only those of this queue.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@json_option
@with_source
@pass_source
def list_(source: Source, queue: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, newest first."""
    letters = source.open().broker.dead(queue, limit)
    if as_json:
        show_json([_summary(letter) for letter in letters])
    elif letters:
        show_table(["id", "task", "queue", "reason", ">attempts", "since"], map(_row, letters))
    else:
        click.echo("There are no dead letters.", err=True)


@dead.command(epilog="\b\nExample:\n  penstock -A tasks dead show 0197c6e2-… --json")
@click.argument("key", metavar="ID|KEY")
@json_option
@with_source
@pass_source
def show(source: Source, key: str, as_json: bool) -> None:
    """Show one dead letter with its headers and body."""
    (letter,) = _chosen(source.open().broker, (key,))[:1]
    facts = _summary(letter) | {
        "headers": dict(letter.message.headers),
        "body": letter.message.body.decode(errors="backslashreplace"),
    }
    if as_json:
        show_json(facts)
        return
    headers = facts.pop("headers")
    facts["dead_at"] = when(letter.dead_at)
    for name, value in [*facts.items(), *((f"  {n}", v) for n, v in headers.items())]:
        say(one_line(f"{name + ':':<16} {value}"))


@dead.command(
    epilog="\b\nExamples:\n  penstock -A tasks dead replay 0197c6e2-…\n"
    "  penstock -A tasks dead replay --all --queue mail"
)
@click.argument("keys", nargs=-1, metavar="[ID|KEY]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("-Q", "--queue", help="With --all: only those of this queue.")
@json_option
@with_source
@pass_source
def replay(
    source: Source, keys: tuple[str, ...], everything: bool, queue: str | None, as_json: bool
) -> None:
    """Send dead letters again, each with a fresh start."""
    app = source.open()
    broker = app.broker
    letters = _selected(broker, keys, everything, queue)
    app.store.forget([letter.message.id for letter in letters])  # before the new runs write theirs
    messages = broker.replay([letter.message.key for letter in letters])
    if as_json:
        show_json([{"id": m.id, "key": m.key, "queue": m.queue} for m in messages])
        return
    for message in messages:
        say(one_line(f"{message.id} is in {message.queue} again"))


@dead.command(
    epilog="\b\nExamples:\n  penstock -A tasks dead drop 0197c6e2-…\n"
    "  penstock -A tasks dead drop --all -f"
)
@click.argument("keys", nargs=-1, metavar="[ID|KEY]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("-Q", "--queue", help="With --all: only those of this queue.")
@click.option("-f", "--force", is_flag=True, help="With --all: do not ask.")
@with_source
@pass_source
def drop(
    source: Source, keys: tuple[str, ...], everything: bool, queue: str | None, force: bool
) -> None:
    """Forget dead letters, for good."""
    broker = source.open().broker
    letters = _selected(broker, keys, everything, queue)
    if everything and not force:
        click.confirm(f"Forget {len(letters)} dead letters for good?", abort=True, err=True)
    click.echo(f"{broker.drop([letter.message.key for letter in letters])} dropped")


def _selected(
    broker: Broker, keys: tuple[str, ...], everything: bool, queue: str | None
) -> list[DeadLetter]:
    if everything == bool(keys):
        raise click.UsageError("name dead letters by id or key, or say --all")
    return broker.dead(queue, _ALL) if everything else _chosen(broker, keys)


def _chosen(broker: Broker, keys: tuple[str, ...]) -> list[DeadLetter]:
    """The letters of these keys or task ids; raises ConfigError for one that is not there."""
    letters = broker.dead(None, _ALL)
    found = [letter for letter in letters if {letter.message.key, letter.message.id} & set(keys)]
    known = {name for letter in found for name in (letter.message.key, letter.message.id)}
    for key in keys:
        if key not in known:
            raise ConfigError(f"there is no dead letter {key}; `penstock dead list` shows them")
    return found


def _summary(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.message.id,
        "task": _task(letter),
        "queue": letter.message.queue,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "dead_at": letter.dead_at,
        "key": letter.message.key,
    }


def _task(letter: DeadLetter) -> str | None:
    name = letter.message.headers.get("task")
    return name if isinstance(name, str) else None  # a message that cannot be read has none


def _row(letter: DeadLetter) -> list[object]:
    *facts, dead_at, _key = _summary(letter).values()
    return [*facts, when(dead_at)]
