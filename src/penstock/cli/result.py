"""``penstock result``: what became of a task."""

from __future__ import annotations

from contextlib import suppress

import click

from penstock.cli.outcome import tell
from penstock.cli.screen import json_option
from penstock.cli.source import Source, pass_source, with_source
from penstock.errors import ResultTimeout

__all__ = ["result"]

_EXAMPLES = """\b
Exit codes: 0 success, 1 failure or revoked, 3 not finished.

\b
Examples:
  penstock -A tasks result 0197c6e2-6f0a-7d31-8000-2f1b8c1e9a55
  penstock -A tasks result 0197c6e2-… --timeout 10     wait up to 10 seconds for it
  penstock -A tasks result 0197c6e2-… --traceback      where it failed
"""


@click.command(epilog=_EXAMPLES)
@click.argument("id")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait so long.")
@click.option("--traceback", "trace", is_flag=True, help="Show where the task failed.")
@json_option
@with_source
@pass_source
def result(source: Source, id: str, timeout: float | None, trace: bool, as_json: bool) -> int:
    """Print the result of the task with that ID.

    Text is printed as it is, every other value as JSON. What went wrong goes to standard error.
    """
    found = source.open().AsyncResult(id)
    if timeout:
        with suppress(ResultTimeout):  # said below, with the state it is in
            found.get(timeout=timeout, propagate=False)
    return tell(found, json=as_json, trace=trace)
