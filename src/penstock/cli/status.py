"""``penstock status``: which workers there are."""

from __future__ import annotations

import time

import click
import msgspec

from penstock.cli.screen import age, json_option, show_json, show_table
from penstock.cli.source import Source, pass_source, with_source

__all__ = ["status"]

_EXAMPLES = """\b
Examples:
  penstock -A tasks status
  penstock status --json
  penstock -A tasks status > /dev/null || echo 'nobody works'
"""


@click.command(epilog=_EXAMPLES)
@json_option
@with_source
@pass_source
def status(source: Source, as_json: bool) -> int:
    """List the workers on this broker. Exit code 1 when none is alive."""
    workers = source.open().broker.workers()
    if as_json:
        show_json([msgspec.to_builtins(worker) for worker in workers])
    elif workers:
        now = time.time()
        show_table(
            ["name", ">pid", "alive", ">up"],
            [(w.name, w.pid, "yes" if w.alive else "no", age(now - w.since)) for w in workers],
        )
    else:
        click.echo("No worker is on this broker.", err=True)
    return 0 if any(worker.alive for worker in workers) else 1
