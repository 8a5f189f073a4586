"""The shop: an order is paid, then picked from the shelf, then shipped. Also the tutorial's add."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any

from penstock.demo.journal import noted
from penstock.demo.orders import read_orders
from penstock.tasks.app import App
from penstock.tasks.frame import Context
from penstock.tasks.task import Task

app = App("shop")
orders = {order.number: order for order in read_orders()}

_ANSWER_TIME = 0.003  # seconds that the bank, the shelf and the carrier take


@app.task
def add(x: int, y: int) -> int:
    """The tutorial's task."""
    return x + y


@app.task(bind=True)
def pay(self: Task[..., Any], number: int) -> str:
    """Charge the customer, then have the order picked."""
    with _step("pay", number, self.request):
        time.sleep(_ANSWER_TIME)
        pick.delay(number)
    return f"{orders[number].customer} paid {orders[number].cents / 100:.2f}"


@app.task(bind=True)
def pick(self: Task[..., Any], number: int) -> str:
    """Fetch the articles, then have them shipped."""
    with _step("pick", number, self.request):
        time.sleep(_ANSWER_TIME)
        ship.delay(number)
    return f"{orders[number].pieces} x {orders[number].article}"


@app.task(bind=True)
def ship(self: Task[..., Any], number: int) -> str:
    """Hand the parcel to the carrier."""
    with _step("ship", number, self.request):
        time.sleep(_ANSWER_TIME)
    return f"order {number} is on its way to {orders[number].customer}"


def _step(name: str, number: int, request: Context) -> AbstractContextManager[None]:
    return noted(
        name, number, task=request.id or "-", parent=request.parent_id, attempt=request.attempt
    )
