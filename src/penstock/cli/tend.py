"""``penstock tend``: upkeep without a worker."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import click

from penstock.cli.source import Source, pass_source, with_source

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.worker.stopping import StopSignals

__all__ = ["tend"]

_AT_LEAST_EVERY = 1.0  # seconds

_EXAMPLES = """\b
Workers do this by themselves. It is for brokers that have work waiting and no worker: delayed
messages become ready, leases of dead workers end, what has expired is removed.

\b
Examples:
  penstock -A tasks tend            until interrupted
  penstock -A tasks tend --once     one round, for cron
"""


@click.command(epilog=_EXAMPLES)
@click.option("--once", is_flag=True, help="One round only.")
@with_source
@pass_source
def tend(source: Source, once: bool) -> None:
    """Do the broker's upkeep until interrupted."""
    broker = source.open().broker
    broker.tend()
    if once:
        return
    from penstock.worker.stopping import StopSignals

    stop = StopSignals()
    click.echo("Tending; stop with Ctrl-C.", err=True)
    _tend_until(stop, broker)


def _tend_until(stop: StopSignals, broker: Broker) -> None:
    stopped: list[StopSignals] = []
    while not stopped:
        pause = min(_AT_LEAST_EVERY, broker.tend() or _AT_LEAST_EVERY)
        stopped, _, _ = select.select([stop], [], [], pause)
