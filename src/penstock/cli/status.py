"""``penstock status``: which workers there are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import msgspec

from penstock.cli.screen import age, json_option, say, show_json, show_table
from penstock.cli.source import Source, pass_source, with_source

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.worker.probe import Health

__all__ = ["status"]

_TO_ANSWER = 2.0  # seconds

_EXAMPLES = """\b
Examples:
  penstock -A tasks status
  penstock status --json
  penstock -A tasks status > /dev/null || echo 'nobody works'
  penstock status --local                      the workers of this machine, as they say themselves
  penstock status --local mail@web1 --probe alive   for a container's health check
"""


@click.command(epilog=_EXAMPLES)
@click.option(
    "--local",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Ask this machine's workers themselves (or one by name), and no broker.",
)
@click.option(
    "--probe",
    type=click.Choice(["consuming", "broker", "alive"]),
    default="consuming",
    show_default=True,
    help="With --local: what each of them must be for exit code 0.",
)
@json_option
@with_source
@pass_source
def status(source: Source, local: str | None, probe: str, as_json: bool) -> int:
    """List the workers on this broker. Exit code 1 when none is alive."""
    if local is not None:
        return _local(local, probe, as_json=as_json)
    broker = source.open().broker
    if not broker.capabilities.lists_workers:
        return _by_answers(broker, as_json=as_json)
    workers = broker.workers()
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


def _by_answers(broker: Broker, *, as_json: bool) -> int:
    """Of a broker that does not know its workers: those that answer, Celery's among them."""
    from penstock.control.asking import ask
    from penstock.wire.control import Request

    names = sorted(ask(broker.talk, Request(method="ping"), timeout=_TO_ANSWER))
    if as_json:
        show_json([{"name": name, "alive": True} for name in names])
    elif names:
        show_table(["name", "alive"], [(name, "yes") for name in names])
    else:
        click.echo(f"No worker has answered within {_TO_ANSWER:g} s.", err=True)
    return 0 if names else 1


def _local(name: str, probe: str, *, as_json: bool) -> int:
    """Exit code 1 where nobody answers, or one of them is not what is asked for."""
    from penstock.worker.probe import ask_all

    found = [health for health in ask_all() if name in {"", health.name}]
    if as_json:
        show_json([msgspec.to_builtins(health) for health in found])
    elif found:
        columns = ["name", ">pid", "alive", "broker", "consuming", ">running", ">claimed", ">up"]
        show_table(columns, map(_row, found))
    else:
        wanted = f" called {name}" if name else ""
        say(f"No worker{wanted} of this user answers on this machine.", err=True)
    return 0 if found and all(getattr(health, probe) for health in found) else 1


def _row(health: Health) -> list[object]:
    told = ["yes" if is_so else "no" for is_so in (health.alive, health.broker, health.consuming)]
    return [health.name, health.pid, *told, health.running, health.claimed, age(health.up)]
