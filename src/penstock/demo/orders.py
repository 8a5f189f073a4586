"""The orders that the demo's shop gets."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files

__all__ = ["Order", "read_orders"]


@dataclass(frozen=True, slots=True)
class Order:
    """One order; ``cents`` is the price of all its pieces."""

    number: int
    customer: str
    article: str
    pieces: int
    cents: int


def read_orders() -> list[Order]:
    """Every order of the list that comes with the package, by number."""
    text = files("penstock.demo").joinpath("orders.csv").read_text("utf-8")
    return [
        Order(int(number), customer, article, int(pieces), int(cents))
        for number, customer, article, pieces, cents in list(csv.reader(text.splitlines()))[1:]
    ]
