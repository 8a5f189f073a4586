"""What Celery's workers took and hold: given back when their time is over, as they do themselves.

For fleets whose last Celery worker died: then nobody of its kind looks.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.brokers.redis_raw import STEPS, step_of

__all__ = ["EVERY", "KEPT", "restored"]

KEPT = 3600.0  # seconds: kombu's visibility timeout, unless the URL names another
EVERY = 60.0  # seconds between two looks


def restored(said: bytes) -> tuple[str, bytes] | None:
    """The list and the envelope of what is held; None for what cannot be read: it stays."""
    try:
        envelope, _, routing_key = msgspec.json.decode(said)
        envelope["headers"]["redelivered"] = True
        properties: dict[str, Any] = envelope["properties"]
        properties["delivery_info"]["redelivered"] = True
        priority = properties.get("priority") or 0
        return routing_key + STEPS[step_of(int(priority)) - 1], msgspec.json.encode(envelope)
    except (msgspec.DecodeError, TypeError, KeyError, ValueError, OverflowError, RecursionError):
        return None
