"""``penstock control``: steer workers."""

from __future__ import annotations

import click

from penstock.cli.asking import Whom, ask, methods_help, whom_options
from penstock.cli.screen import json_option
from penstock.cli.source import Source, pass_source, with_source
from penstock.control.methods import CONTROL

__all__ = ["control"]

_EXAMPLES = f"""{methods_help(CONTROL)}

\b
Workers of Celery on the same Redis hear it as well. What is told lasts until a worker ends.

\b
Examples:
  penstock -A tasks control rate_limit tasks.mail 10/m
  penstock -A tasks control pool_grow 2 -d penstock@web1
  penstock -A tasks control revoke 01a21fbd-6d9c-7404-a098-3f2b7ac9c95d --terminate
  penstock -A tasks control shutdown --pattern 'penstock@web*'
"""


@click.command(epilog=_EXAMPLES)
@click.argument("method")
@click.argument("arguments", nargs=-1)
@click.option("--terminate", is_flag=True, help="revoke: end them where they run, too.")
@whom_options
@json_option
@with_source
@pass_source
def control(  # noqa: PLR0917 - click passes them by name
    source: Source,
    method: str,
    arguments: tuple[str, ...],
    terminate: bool,
    destination: tuple[str, ...],
    pattern: str | None,
    timeout: float,
    as_json: bool,
) -> int:
    """Tell workers to do something. Exit code 1 when nobody does it."""
    if terminate and method != "revoke":
        raise click.UsageError("--terminate is for revoke")
    whom = Whom(destination, pattern, timeout)
    more = {"terminate": True} if terminate else {}
    return ask(source, CONTROL, method, arguments, whom=whom, as_json=as_json, more=more)
