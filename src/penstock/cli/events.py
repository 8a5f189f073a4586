"""``penstock events``: what workers tell, as it happens."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.screen import json_option, say, to_json, when
from penstock.cli.source import Source, pass_source, with_source
from penstock.plain_text import one_line

__all__ = ["events"]

_EXAMPLES = """\b
Workers tell that they are there every two seconds; with -E, or once told to, what their tasks do.

\b
Examples:
  penstock -A tasks control enable_events
  penstock -A tasks events
  penstock -A tasks events --json | jq 'select(.type == "task-failed")'
"""
_AROUND = {"type", "hostname", "timestamp", "utcoffset", "clock", "pid"}  # said of every event
_HIDDEN = _AROUND | {"args", "kwargs"}  # arguments are for who asks for them, by --json


@click.command(epilog=_EXAMPLES)
@click.option(
    "-t", "--timeout", type=click.FloatRange(0), metavar="SECONDS", help="End after so long."
)
@json_option
@with_source
@pass_source
def events(source: Source, timeout: float | None, as_json: bool) -> None:
    """Print events, one on a line, until told to stop."""
    from penstock.control.watching import events as heard

    for event in heard(source.open().broker, timeout=timeout):
        say(to_json(event) if as_json else _line(event))


def _line(event: dict[str, Any]) -> str:
    rest = " ".join(f"{k}={v}" for k, v in event.items() if v is not None and k not in _HIDDEN)
    told_at = event.get("timestamp")
    at = when(told_at) if isinstance(told_at, int | float) else "-"
    return one_line(f"{at} {event.get('hostname')} {event['type']} {rest}".rstrip())
