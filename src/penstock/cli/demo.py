"""``penstock demo``: see it work, under attack."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from penstock.errors import ConfigError

__all__ = ["demo"]

_MOST, _FEWEST = 2000, 50

_EXAMPLES = """\b
Examples:
  penstock demo
  penstock demo --orders 200
  penstock demo --keep ./shop             look at penstock.db, journal.txt, worker.log afterwards
"""


@click.command(short_help="See it work, and survive being killed.", epilog=_EXAMPLES)
@click.option(
    "--orders",
    type=click.IntRange(_FEWEST, _MOST),
    help=f"How many orders; {_MOST} by default, fewer on a slow disk.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Work in this folder, and leave everything there.",
)
def demo(orders: int | None, keep: Path | None) -> int:
    """Run the tutorial and a shop on the embedded queue, and kill what runs them.

    Everything happens in a temporary folder, with a real worker. A shop's orders are paid, picked
    and shipped by tasks, while first an executor and then the whole worker is killed with SIGKILL.
    The counts at the end come from a journal that the tasks wrote themselves. The exit code is 1
    if an order was lost, or a step ran twice without a cause.
    """
    if keep is not None:
        return _play(_new_folder(keep), orders)
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
        return _play(Path(folder), orders)


def _new_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: --keep wants a new or an empty folder")
    return folder.resolve()


def _play(folder: Path, orders: int | None) -> int:
    from penstock.demo.play import play
    from penstock.demo.screen import Screen

    return 0 if play(folder, orders=orders, screen=Screen()).good else 1
