"""``penstock worker``: run tasks."""

from __future__ import annotations

import click

from penstock.cli.source import Source, pass_source, with_source

__all__ = ["worker"]

_EXAMPLES = """\b
Examples:
  penstock -A tasks worker -l info             the tasks of ./tasks.py, two at a time on two cores
  penstock -A shop worker -Q mail,slow -c 8    two queues, served in turn, eight tasks at once
  penstock -A shop worker -P asyncio -c 200    async def tasks, two hundred at once in one process
  penstock -A shop worker -P solo              in this process, for a debugger

\b
TERM or Ctrl-C: finish what runs, hand back the rest, exit 0 (1 if something was cut off after
--shutdown-timeout). A second one stops at once. Exit 2: wrong use, or the name is taken.
"""


def _split(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[str, ...]:
    names = (name.strip() for name in (text or "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


@click.command(epilog=_EXAMPLES)
@click.option("-Q", "--queues", callback=_split, metavar="A,B", help="Queues to serve, in turn.")
@click.option("-c", "--concurrency", type=click.IntRange(1), help="Tasks at once [processors].")
@click.option(
    "--processes", type=click.IntRange(1), help="Processes that share them [prefork: all, else 1]."
)
@click.option(
    "-P",
    "--pool",
    type=click.Choice(["prefork", "threads", "asyncio", "solo"]),
    help="How tasks run at once [prefork].",
)
@click.option("-n", "--hostname", "name", help="The worker's name; %h is the host [penstock@%h].")
@click.option("-l", "--loglevel", default="warning", show_default=True, help="Lines on stderr.")
@click.option(
    "--max-tasks-per-child", type=click.IntRange(1), help="Replace a process after so many tasks."
)
@click.option(
    "--max-memory-per-child",
    type=click.IntRange(1),
    metavar="KIB",
    help="Replace a process that takes more memory, after its task.",
)
@click.option(
    "--shutdown-timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long running tasks have once told to stop [30].",
)
@click.option(
    "-E", "--task-events", is_flag=True, help="Tell what tasks do, for penstock events and Flower."
)
@click.option(
    "--watchdog-timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long work may wait beside free slots, unclaimed, before it connects anew; after as "
    "long again it ends with exit code 3; 0: never [60].",
)
@click.option(
    "--reload", is_flag=True, help="Begin anew when a .py file changes; not for production."
)
@click.option("-q", "--quiet", is_flag=True, help="No start screen.")
@with_source
@pass_source
def worker(  # noqa: PLR0917 - click passes them by name
    source: Source,
    queues: tuple[str, ...],
    concurrency: int | None,
    processes: int | None,
    pool: str | None,
    name: str | None,
    loglevel: str,
    max_tasks_per_child: int | None,
    max_memory_per_child: int | None,
    shutdown_timeout: float | None,
    task_events: bool,
    watchdog_timeout: float | None,
    reload: bool,
    quiet: bool,
) -> int:
    """Run tasks until told to stop."""
    from penstock.worker.options import WorkerOptions
    from penstock.worker.worker import run_worker

    options = WorkerOptions(
        app=source.required_spec(),
        broker=source.broker,
        backend=source.backend,
        queues=queues,
        concurrency=concurrency,
        processes=processes,
        pool=pool,
        name=name,
        loglevel=loglevel,
        max_tasks_per_child=max_tasks_per_child,
        max_memory_per_child=max_memory_per_child,
        shutdown_timeout=shutdown_timeout,
        watchdog_timeout=watchdog_timeout,
        reload=reload,
        quiet=quiet,
        task_events=task_events,
    )
    return run_worker(options)
