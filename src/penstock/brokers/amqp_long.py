"""Holding a message longer than the server lets one hold it (30 minutes, by default).

The server closes the channel of a delivery that is not acknowledged in time, and with it all leases
of that channel. So in half of that time a message that still runs is held by a new delivery: a copy
goes into a durable queue of this holder's own, is taken from there at once, and only then the old
delivery is acknowledged. The queue has a short time to live and leads back to the origin: while the
copy is held it does not age, and when its holder dies it goes home at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from penstock.brokers.amqp_doorbell import Delivery
from penstock.brokers.amqp_holdings import Held, Holdings
from penstock.brokers.amqp_moves import MOVING, PATIENCE, held_longer
from penstock.brokers.amqp_publish import Outbox
from penstock.brokers.amqp_queues import Queues
from penstock.engines.amqp import Out
from penstock.engines.amqp_limit import Limit
from penstock.engines.amqp_live import Live
from penstock.plan import Exchange, Plan

__all__ = ["holding_on", "needs_holding"]

_TAKEN_WITHIN = 10_000  # ms that a copy waits for its holder to take it
_KEPT = 8  # times the age at which a message is held on: so long a queue is there unused


def needs_holding(holdings: Holdings, age: float) -> list[Held]:
    """What was delivered so long ago (seconds)."""
    limit = time.monotonic() - age
    return [held for held in holdings.by_fence.values() if held.since <= limit]


def holding_on(old: Sequence[Held], holder: str, age: float) -> Plan[set[int]]:
    """Hold those by new deliveries that are older than ``age``; gives the fences that are lost.

    What is half as old has the queue made that it will need.
    """
    limit = Limit(PATIENCE, before=MOVING)
    expires = int(_KEPT * age * 1000) + 3_600_000
    begun = time.monotonic() - age
    older = [held for held in old if held.since <= begun]
    for held in older:
        held.copied = True

    def publish(live: Live) -> str:
        name = live.kept(Queues).ensure_held(holder, _TAKEN_WITHIN, expires)
        if name and older:
            live.kept(Outbox).send([held_longer(held, holder) for held in older], limit)
        return name if older else ""

    name = yield Out("hold", publish, limit=limit)
    if not name:
        return set()
    lost: set[int] = yield Exchange("held", lambda live: _take(live, name, older))
    return lost


def _take(live: Live, name: str, old: Sequence[Held]) -> set[int]:
    """Take the copies; one that went home already takes its lease along."""
    holdings = live.kept(Holdings)
    waiting = {held.message.key: held for held in old if held.fence in holdings.by_fence}
    while waiting:
        reply: Any = holdings.bells.channel.basic_get(name)
        if reply is None:
            break
        info = reply.delivery_info
        delivery = Delivery(name, info["delivery_tag"], False, reply, time.monotonic())
        held = waiting.pop(reply.properties.get("message_id"), None)
        if held is None:  # settled meanwhile
            holdings.delivered(delivery.tag)
            holdings.acknowledge([delivery.tag])
        else:
            holdings.acknowledge([holdings.replace_delivery(held, delivery)])
    holdings.acknowledge(held.tag for held in waiting.values())
    holdings.let_go(list(waiting.values()))
    return {held.fence for held in waiting.values()}
