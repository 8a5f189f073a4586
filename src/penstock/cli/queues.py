"""``penstock queues``: what waits, and for how long."""

from __future__ import annotations

import click
import msgspec

from penstock.cli.screen import age, json_option, show_json, show_table
from penstock.cli.source import Source, pass_source, with_source

__all__ = ["queues"]

_EXAMPLES = """\b
Columns:
  ready      could run now
  delayed    waits for its time (countdown, eta, retry)
  in flight  a worker has it
  dead       kept aside with a reason: see penstock dead --help
  oldest     how long the oldest ready one has been waiting

\b
Examples:
  penstock -A tasks queues
  penstock --broker sqlite:///jobs.db queues --json
"""


@click.command(epilog=_EXAMPLES)
@json_option
@with_source
@pass_source
def queues(source: Source, as_json: bool) -> None:
    """List the queues with what is in them."""
    states = source.open().broker.queues()
    if as_json:
        show_json([msgspec.to_builtins(state) for state in states])
    elif states:
        show_table(
            ["queue", ">ready", ">delayed", ">in flight", ">dead", ">oldest"],
            [(s.name, s.ready, s.delayed, s.leased, s.dead, age(s.oldest)) for s in states],
        )
    else:
        click.echo("There is no queue yet.", err=True)
