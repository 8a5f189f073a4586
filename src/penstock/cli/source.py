"""Which app, broker and results a command is about: ``-A``, URLs, or the default file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.errors import ConfigError
from penstock.url import Url

if TYPE_CHECKING:
    from penstock.tasks.app import App

__all__ = ["Source", "pass_source", "with_source"]

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULT_FILE = "penstock.db"
_VARIABLES = ("PENSTOCK_BROKER_URL", "PENSTOCK_RESULT_BACKEND")


@dataclass(frozen=True, slots=True)
class Source:
    """What the command line named; nothing is imported or opened before it is asked for."""

    app: str | None = None
    broker: str | None = None
    backend: str | None = None

    @property
    def spec(self) -> str | None:
        """The app's name, from ``-A`` or PENSTOCK_APP."""
        return self.app or os.environ.get("PENSTOCK_APP") or None

    def required_spec(self) -> str:
        """The app's name; raises ConfigError where there is none."""
        if self.spec is None:
            raise ConfigError(
                "no app is named: give its module with -A, as in "
                "`penstock -A tasks worker` for ./tasks.py"
            )
        return self.spec

    def open(self) -> App:
        """The app, with the broker and results that the command line put in place of its own."""
        app = self._named() if self.spec is not None else self._nameless()
        if Url.parse(app.broker_url).scheme == "memory":
            raise ConfigError(
                "memory:// is seen by its own process alone, a command cannot look into it: "
                "name another broker with -A or --broker, sqlite:///jobs.db say"
            )
        return app

    def _named(self) -> App:
        from penstock.tasks.loader import load_app

        app = load_app(self.required_spec())
        self._override(app)
        return app

    def _nameless(self) -> App:
        from penstock.tasks.app import App

        self._check_default_file()
        return App(broker=self.broker, backend=self.backend)

    def _override(self, app: App) -> None:
        if self.broker is not None:
            app.conf.broker_url = self.broker
        if self.backend is not None:
            app.conf.result_backend = self.backend

    def _check_default_file(self) -> None:
        """Refuse to look into a file that is not there, which opening would make."""
        named = self.broker or self.backend or any(map(os.environ.get, _VARIABLES))
        if not named and not Path(_DEFAULT_FILE).exists():
            raise ConfigError(
                f"there is no {_DEFAULT_FILE} in {Path.cwd()}: "
                "name an app with -A, a broker with --broker, or a folder with --workdir"
            )


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    source = ctx.ensure_object(Source)
    if value is not None:
        ctx.obj = replace(source, **{str(param.name): value})


def _enter(ctx: click.Context, _param: click.Parameter, folder: str | None) -> None:
    if folder is not None and not ctx.resilient_parsing:
        os.chdir(folder)


def with_source(command: F) -> F:
    """Give a command ``-A``, ``--broker``, ``--backend`` and ``--workdir``.

    The group and its commands have them, so that they may stand before or after a command's name.
    """
    options = [
        click.option(
            "-A",
            "--app",
            metavar="MODULE[:NAME]",
            expose_value=False,
            callback=_remember,
            help="The app: tasks, tasks:app or pkg.mod (also: PENSTOCK_APP).",
        ),
        click.option(
            "-b",
            "--broker",
            metavar="URL",
            expose_value=False,
            callback=_remember,
            help="A broker, instead of the app's.",
        ),
        click.option(
            "--backend",
            "--result-backend",
            metavar="URL",
            expose_value=False,
            callback=_remember,
            help="A result store, instead of the app's.",
        ),
        click.option(
            "--workdir",
            type=click.Path(exists=True, file_okay=False),
            expose_value=False,
            is_eager=True,
            callback=_enter,
            help="Go to this folder first.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


pass_source = click.make_pass_decorator(Source, ensure=True)
