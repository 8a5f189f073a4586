"""``penstock schema``: the tables in a database, for whoever administers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from penstock.cli.source import Source, pass_source, with_source
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.engines.postgres_schema import Schema

__all__ = ["schema"]

_EXAMPLES = """\b
The tables are made on first use where the account may make them. Where it may not, somebody who
may runs `apply` once, and again after an upgrade that says so. It may be repeated, and workers go
on meanwhile: a migration only adds.

\b
Examples:
  penstock -A tasks schema show
  penstock schema apply postgresql://admin@host/shop
  penstock schema show --sql postgresql://admin@host/shop > penstock.sql
"""


@click.group(epilog=_EXAMPLES)
@with_source
def schema() -> None:
    """Show or apply the schema of a database."""


_url = click.argument("url", required=False)


@schema.command()
@_url
@click.option("--sql", is_flag=True, help="Print the SQL that is missing, and nothing else.")
@with_source
@pass_source
def show(source: Source, url: str | None, sql: bool) -> None:
    """Show which version is there, and which this penstock needs."""
    for one in _schemas(source, url):
        found = one.found()
        if sql:
            click.echo(one.script(found.version), nl=False)
        else:
            state = f"version {found.version}" if found.version else "not there yet"
            click.echo(f"{one.where}: {state}; this penstock makes version {one.newest}")


@schema.command()
@_url
@with_source
@pass_source
def apply(source: Source, url: str | None) -> None:
    """Bring the schema up to date; one that is stays as it is."""
    for one in _schemas(source, url):
        applied = one.apply()
        what = f"applied version {', '.join(map(str, applied))}" if applied else "is up to date"
        click.echo(f"{one.where}: {what}")


def _schemas(source: Source, url: str | None) -> list[Schema]:
    """Those of broker and result store, each once; raises ConfigError where there is none."""
    places = _named(url) if url is not None else _of_app(source)
    found = {id(one): one for place in places if (one := getattr(place, "schema", None))}
    if not found:
        shown = ", ".join(dict.fromkeys(map(repr, places)))
        raise ConfigError(f"no schema is to be applied: {shown} needs none")
    return list(found.values())


def _named(url: str) -> list[Any]:
    from penstock.brokers.registry import open_broker

    return [open_broker(url)]


def _of_app(source: Source) -> list[Any]:
    app = source.open()
    return [app.broker, app.store]
