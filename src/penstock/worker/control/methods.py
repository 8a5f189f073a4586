"""The table of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.worker.control.facts import FACTS
from penstock.worker.control.orders import ORDERS

__all__ = ["METHODS"]

METHODS: dict[str, Callable[..., Any]] = FACTS | ORDERS
