"""Exchanges that share one transaction on a SQLite file: what they ask for, what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.engines.tickets import Ticket

if TYPE_CHECKING:
    import apsw

__all__ = ["durability", "finish", "run"]


def durability(batch: Sequence[Ticket]) -> tuple[bool, bool]:
    """Whether a batch is durable, and whether all that is so may be seen before."""
    durable = early = False
    for ticket in batch:
        exchange = ticket.exchange
        if exchange.durable:
            early = exchange.seen_early and (early or not durable)
            durable = True
    return durable, early


def run(connection: apsw.Connection, batch: Sequence[Ticket]) -> list[str]:
    """Run the exchanges; gives the bells of those that changed something."""
    rings: list[str] = []
    for ticket in batch:
        before = connection.total_changes()
        ticket.reply = ticket.exchange.run(connection)
        if ticket.exchange.rings and connection.total_changes() != before:
            for bell in ticket.exchange.rings:
                if bell not in rings:
                    rings.append(bell)
    return rings


def finish(batch: Sequence[Ticket]) -> None:
    """Their owners may be told."""
    for ticket in batch:
        ticket.finished = True
