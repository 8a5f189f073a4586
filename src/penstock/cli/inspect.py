"""``penstock inspect``: what workers have, run and are."""

from __future__ import annotations

import click

from penstock.cli.asking import Whom, ask, methods_help, whom_options
from penstock.cli.screen import json_option
from penstock.cli.source import Source, pass_source, with_source
from penstock.control.methods import INSPECT

__all__ = ["inspect"]

_EXAMPLES = f"""{methods_help(INSPECT)}

\b
Workers of Celery on the same Redis are asked as well.

\b
Examples:
  penstock -A tasks inspect ping
  penstock -A tasks inspect active -d penstock@web1
  penstock -A tasks inspect registered rate_limit time_limit
  penstock -A tasks inspect stats --json
"""


@click.command(epilog=_EXAMPLES)
@click.argument("method")
@click.argument("arguments", nargs=-1)
@whom_options
@json_option
@with_source
@pass_source
def inspect(  # noqa: PLR0917 - click passes them by name
    source: Source,
    method: str,
    arguments: tuple[str, ...],
    destination: tuple[str, ...],
    pattern: str | None,
    timeout: float,
    as_json: bool,
) -> int:
    """Ask workers. Exit code 1 when nobody answers well."""
    whom = Whom(destination, pattern, timeout)
    return ask(source, INSPECT, method, arguments, whom=whom, as_json=as_json)
