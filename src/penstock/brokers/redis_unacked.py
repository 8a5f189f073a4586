"""What Celery's workers took and hold: given back when their time is over, as they do themselves.

For fleets whose last Celery worker died: then nobody of its kind looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.brokers.redis_raw import STEPS, step_of

__all__ = ["EVERY", "KEPT", "Held", "restored"]

KEPT = 3600.0  # seconds: kombu's visibility timeout, unless the URL names another
EVERY = 60.0  # seconds between two looks
_SEP = "\x06\x16"


class Held(msgspec.Struct, frozen=True):
    """What a Celery worker held: how it was addressed, and its envelope as it comes again."""

    exchange: str
    routing_key: str
    step: int
    envelope: bytes

    def lists(self, bindings: Iterable[bytes]) -> list[str]:
        """Where it goes back to, by its exchange's bindings as kombu keeps them; perhaps nowhere.

        A direct exchange has the key itself, a topic exchange a pattern beside it. Where nothing is
        bound (the server may have lost it) the key is taken for the queue's name, as it mostly is.
        """
        bound = [one.decode("utf-8", "replace").partition(_SEP) for one in bindings]
        rows = [(key, *rest.partition(_SEP)[::2]) for key, _, rest in bound]
        if not self.exchange or not rows:
            queues = [self.routing_key]
        else:
            fit = {queue for key, pattern, queue in rows if self._is_for(key, pattern)}
            queues = sorted(fit - {""})
        return [queue + STEPS[self.step - 1] for queue in queues]

    def _is_for(self, key: str, pattern: str) -> bool:
        if not pattern:
            return key == self.routing_key
        return _matches(key.split("."), self.routing_key.split("."))


def _matches(pattern: list[str], words: list[str]) -> bool:
    """A topic's words: `*` is one, `#` any number.

    Not by kombu's regular expression: who may write to the server could write one without an end.
    """
    fits = {0}  # how many of the words are used up
    for part in pattern:
        if part == "#":
            fits = set(range(min(fits, default=len(words) + 1), len(words) + 1))
        else:
            fits = {n + 1 for n in fits if n < len(words) and part in {"*", words[n]}}
    return len(words) in fits


def restored(said: bytes) -> Held | None:
    """What is held, as it comes again; None for what cannot be read: it stays."""
    try:
        envelope, exchange, routing_key = msgspec.json.decode(said)
        envelope["headers"]["redelivered"] = True
        properties: dict[str, Any] = envelope["properties"]
        properties["delivery_info"]["redelivered"] = True
        priority = properties.get("priority") or 0
        step = step_of(int(priority))
        return Held(str(exchange or ""), str(routing_key), step, msgspec.json.encode(envelope))
    except (msgspec.DecodeError, TypeError, KeyError, ValueError, RecursionError):
        return None
