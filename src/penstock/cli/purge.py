"""``penstock purge``: throw away what waits."""

from __future__ import annotations

import click

from penstock.cli.screen import json_option, say, show_json
from penstock.cli.source import Source, pass_source, with_source

__all__ = ["purge"]

_EXAMPLES = """\b
What a worker has already taken is not touched, and neither are dead letters.

\b
Examples:
  penstock -A tasks purge celery            asks first
  penstock -A tasks purge -f mail reports   does not ask
"""


@click.command(epilog=_EXAMPLES)
@click.argument("queues", nargs=-1, required=True, metavar="QUEUE...")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@json_option
@with_source
@pass_source
def purge(source: Source, queues: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Drop every waiting message of these queues, for good."""
    broker = source.open().broker
    if not force:
        waiting = ", ".join(f"{broker.depth(name)} in {name}" for name in queues)
        click.confirm(f"Drop the waiting messages for good ({waiting})?", abort=True, err=True)
    dropped = {name: broker.purge(name) for name in queues}
    if as_json:
        show_json(dropped)
        return
    for name, count in dropped.items():
        say(f"{name}: {count} dropped")
