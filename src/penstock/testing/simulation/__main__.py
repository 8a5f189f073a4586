"""Run many seeds, or replay one: ``python -m penstock.testing.simulation --seeds 1000``."""

from __future__ import annotations

import sys
import time
from collections import Counter

import click

from penstock.testing.simulation import MemorySite, RedisSite, Report, Site, SqliteSite, simulate
from penstock.url import Url

_SITES: dict[str, type[Site]] = {"memory": MemorySite, "sqlite": SqliteSite, "redis": RedisSite}
_EVERY = 100


@click.command(help="Simulate a broker: each seed is one interleaving of callers and faults.")
@click.option("--seeds", default=1000, show_default=True, help="How many seeds to run.")
@click.option("--start", default=0, show_default=True, help="The first of them.")
@click.option("--seed", type=int, help="Run this one alone and show its history.")
@click.option("--broker", type=click.Choice(list(_SITES)), default="memory", show_default=True)
@click.option("--url", help="Of the server: one to play with.")
def main(seeds: int, start: int, seed: int | None, broker: str, url: str | None) -> None:
    """Exit code 1 when a promise was broken."""
    site = _SITES[broker]
    where = f"--broker {broker}"
    if issubclass(site, RedisSite):
        if url is None:
            raise click.UsageError(f"--broker {broker} needs --url: a server to play with")
        site = site.on(url)
        where += f" --url '{Url.parse(url)}'"
    if seed is not None:
        sys.exit(_replay(site, seed))
    sys.exit(_run(site, broker, where, range(start, start + seeds)))


def _replay(site: type[Site], seed: int) -> int:
    report = simulate(site, seed)
    click.echo("\n".join(report.history.tail(len(report.history))))
    click.echo(f"history {report.history.digest()}")
    click.echo(report.explain(), err=report.failure is not None)
    return int(report.failure is not None)


def _run(site: type[Site], broker: str, where: str, seeds: range) -> int:
    total, failed, since = Counter[str](), 0, time.monotonic()
    for count, seed in enumerate(seeds, 1):
        report = simulate(site, seed)
        _add(total, report)
        if report.failure is not None:
            failed += 1
            click.echo(f"{report.explain()}\nreplay it: {_command(where, seed)}\n", err=True)
        if not count % _EVERY or count == len(seeds):
            click.echo(_line(broker, count, failed, total, time.monotonic() - since))
    return int(failed > 0)


def _add(total: Counter[str], report: Report) -> None:
    total.update(published=report.published, leased=report.leased, faults=report.faults.total())


def _line(broker: str, count: int, failed: int, total: Counter[str], seconds: float) -> str:
    return (
        f"{broker}: {count} seeds in {seconds:.1f} s, {failed} failed; {total['published']} "
        f"published, {total['leased']} leased, {total['faults']} faults"
    )


def _command(where: str, seed: int) -> str:
    return f"{sys.executable} -m penstock.testing.simulation {where} --seed {seed}"


if __name__ == "__main__":
    main()
