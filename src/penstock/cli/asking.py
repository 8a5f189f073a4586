"""What ``penstock inspect`` and ``penstock control`` share: ask workers, show what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
import msgspec

from penstock.cli.screen import say, show_json, to_json
from penstock.cli.source import Source
from penstock.control.methods import Method
from penstock.errors import ConfigError
from penstock.plain_text import one_line

__all__ = ["Whom", "ask", "methods_help", "whom_options"]

F = TypeVar("F", bound=Callable[..., Any])
_SILENT = frozenset({"shutdown", "heartbeat"})  # nobody answers these


@dataclass(frozen=True, slots=True)
class Whom:
    """Which workers are asked, and for how long answers are waited for."""

    destination: tuple[str, ...] | None
    pattern: str | None
    timeout: float


def _names(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in (text or "").split(",")) if name)


def whom_options(command: F) -> F:
    """Give a command ``--destination``, ``--pattern`` and ``--timeout``."""
    for option in (
        click.option("-t", "--timeout", type=click.FloatRange(0), default=1.0, show_default=True,
                     metavar="SECONDS", help="How long to wait for answers."),
        click.option("--pattern", metavar="GLOB", help="Only workers with such names."),
        click.option("-d", "--destination", callback=_names, metavar="NAME,…",
                     help="Only these workers."),
    ):  # fmt: skip
        command = option(command)
    return command


def methods_help(methods: Mapping[str, Method]) -> str:
    """The methods for a command's help page."""
    wide = max(len(method.usage) for method in methods.values())
    lines = [f"  {method.usage:<{wide}}  {method.means}" for method in methods.values()]
    return "\b\nMethods:\n" + "\n".join(lines)


def ask(
    source: Source,
    methods: Mapping[str, Method],
    name: str,
    words: Sequence[str],
    *,
    whom: Whom,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
) -> int:
    """Ask and show; the exit code: 0 when somebody answered well, 1 when not."""
    method = methods.get(name) or _unknown(name, methods)
    arguments = {**method.read(words), **(more or {})}
    app = source.open()
    if not app.broker.capabilities.broadcasts:
        raise ConfigError("this broker carries no requests to workers")
    answers = _answers(app.control, method, arguments, whom)
    if method.name in _SILENT:
        return 0
    if as_json:
        show_json(answers)
    else:
        for worker in sorted(answers):
            _show(worker, answers[worker])
        if not answers:
            click.echo("No worker answered.", err=True)
    well = [answer for answer in answers.values() if not _is_error(answer)]
    return 0 if well else 1


def _answers(
    control: Any, method: Method, arguments: Mapping[str, Any], whom: Whom
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "destination": whom.destination or None,
        "pattern": whom.pattern,
        "timeout": whom.timeout,
        "reply": method.name not in _SILENT,
    }
    if method.name in {"revoke", "terminate"}:  # these are written down, too
        ids = arguments["task_id"]
        rest = {key: value for key, value in arguments.items() if key != "task_id"}
        replies = getattr(control, method.name)(ids, **rest, **options)
    else:
        replies = control.broadcast(method.name, arguments, **options)
    return {worker: answer for reply in replies or () for worker, answer in reply.items()}


def _unknown(name: str, methods: Mapping[str, Method]) -> Method:
    import difflib

    near = difflib.get_close_matches(name, methods, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(methods)}"
    raise ConfigError(f"there is no method {name!r}: {hint}")


def _is_error(answer: Any) -> bool:
    return isinstance(answer, dict) and set(answer) == {"error"}


def _show(worker: str, answer: Any) -> None:
    if _is_error(answer):
        say(one_line(f"{worker}: error: {answer['error']}"))
    elif isinstance(answer, dict) and set(answer) == {"ok"}:
        head, _, rest = str(answer["ok"]).partition("\n")
        say(one_line(f"{worker}: {head}") + (f"\n{rest}" if rest else ""))
    elif not answer:
        say(one_line(f"{worker}: nothing"))
    elif isinstance(answer, list):
        say(one_line(f"{worker}:"))
        for one in answer:
            say(one_line(f"  {one if isinstance(one, str) else to_json(one)}"))
    else:
        say(one_line(f"{worker}:"))
        text = msgspec.json.format(to_json(answer), indent=2)
        say("\n".join(f"  {line}" for line in text.splitlines()))
