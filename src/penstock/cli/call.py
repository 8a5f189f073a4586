"""``penstock call``: send one task."""

from __future__ import annotations

import difflib
import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import click

from penstock.cli.outcome import tell
from penstock.cli.screen import json_option, say, to_json
from penstock.cli.source import Source, pass_source, with_source
from penstock.errors import ConfigError, ResultTimeout
from penstock.plain_text import one_line

if TYPE_CHECKING:
    from penstock.tasks.app import App
    from penstock.tasks.calls import CallKeywords

__all__ = ["call"]

_EXAMPLES = """\b
Examples:
  penstock -A tasks call tasks.add --args '[4, 4]'            prints the task's id
  penstock -A tasks call tasks.add --args '[4, 4]' --wait     prints 8
  penstock -A tasks call tasks.mail --kwargs '{"to": "ann"}' --countdown 60
  penstock -A tasks call tasks.report --eta 2030-01-31T06:00 --queue night
  penstock --broker sqlite:///jobs.db call tasks.add --args '[4, 4]'
"""


_PRIORITIES = frozenset("0123456789")


class _Json(click.ParamType[Any]):
    """A JSON text of one kind."""

    def __init__(self, kind: type, name: str) -> None:
        self.kind = kind
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            found = json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{value!r} is not JSON: {error}", param, ctx)
        if not isinstance(found, self.kind):
            self.fail(f"{value!r} is not a JSON {self.name}", param, ctx)
        return found


class _Moment(click.ParamType[Any]):
    """A date and time in ISO form; local time where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(f"{value!r} is no time such as 2030-01-31T06:00 or …T06:00+01:00", param, ctx)


class _Priority(click.ParamType[Any]):
    """0 to 9, ``high`` or ``low``."""

    name = "priority"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in {"high", "low"}:
            return value
        if value not in _PRIORITIES:
            self.fail(f"{value!r} is none of 0 to 9, high, low", param, ctx)
        return int(value)


@click.command(epilog=_EXAMPLES)
@click.argument("name")
@click.option("-a", "--args", type=_Json(list, "array"), default="[]", help="Positional arguments.")
@click.option("-k", "--kwargs", type=_Json(dict, "object"), default="{}", help="Arguments by name.")
@click.option("--countdown", type=float, metavar="SECONDS", help="Run it so much later.")
@click.option("--eta", type=_Moment(), metavar="TIME", help="Run it at that time, or later.")
@click.option("--expires", type=float, metavar="SECONDS", help="Do not start it after so long.")
@click.option("-Q", "--queue", help="Send it to this queue.")
@click.option("--priority", type=_Priority(), metavar="0-9|high|low", help="How urgent it is.")
@click.option("--task-id", metavar="ID", help="Its id; a new one by default.")
@click.option("--wait", is_flag=True, help="Wait for the result and print it.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait at most so long."
)
@json_option
@with_source
@pass_source
def call(
    source: Source,
    /,
    *,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
    wait: bool,
    timeout: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Send the task NAME and print its id; with --wait its result.

    The task is stored when this returns. With --wait the exit code is 0 for success, 1 for failure,
    3 when the time is over.
    """
    app = source.open()
    _hint(app, source, name)
    given = {key: value for key, value in options.items() if value is not None}
    try:
        sent = app.send_task(name, args, kwargs, **cast("CallKeywords", given))
    except TypeError as error:  # the app knows the task, and these are not its arguments
        raise ConfigError(str(error)) from error
    if not wait and timeout is None:
        say(to_json({"id": sent.id}) if as_json else one_line(sent.id))
        return 0
    with suppress(ResultTimeout):  # said below, with the state it is in
        sent.get(timeout=timeout, propagate=False)
    return tell(sent, json=as_json)


def _hint(app: App, source: Source, name: str) -> None:
    """Say so when the app named with -A has no such task: the name may be another app's."""
    if source.spec is None or name in app.tasks:
        return
    near = difflib.get_close_matches(name, app.tasks, n=1)
    question = f"; did you mean {near[0]}?" if near else ""
    text = f"Note: {source.spec} has no task {name!r}{question} It is sent all the same."
    say(one_line(text), err=True)
