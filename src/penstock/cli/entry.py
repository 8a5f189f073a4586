"""Where the command line begins, and where every error becomes one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from penstock.cli.commands import CommandTable
from penstock.cli.screen import say
from penstock.cli.source import with_source
from penstock.errors import PenstockError

__all__ = ["main", "penstock"]

_WRONG_USE = 2
_INTERRUPTED = 130

_EXAMPLES = """\b
Examples:
  penstock demo                                see it work, in a temporary folder
  penstock -A tasks worker -l info             run the tasks of ./tasks.py
  penstock -A tasks call tasks.add --args '[4, 4]' --wait
  penstock queues                              what waits in ./penstock.db

\b
Each command teaches itself: penstock COMMAND --help
"""


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"penstock {version('penstock')}")
        ctx.exit()


@click.command(
    cls=CommandTable,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@with_source
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def penstock() -> None:
    """Send tasks, run them, and look at what waits.

    An app is named with -A; without one, a broker with --broker; without either it is the file
    ./penstock.db.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 2 for wrong use, with one line that says what."""
    try:
        code = penstock.main(arguments, prog_name="penstock", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return _WRONG_USE
    except click.ClickException as error:
        return _refuse(_one_line(error))
    except PenstockError as error:
        return _refuse(str(error))
    except click.Abort:
        click.echo("Aborted.", err=True)
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read our output (head, say) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _refuse(text: str) -> int:
    say(f"Error: {text}", err=True)
    return _WRONG_USE


def _one_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text += f" (see: {error.ctx.command_path} --help)"
    return text
