"""From a URL and a name to a durable queue."""

from __future__ import annotations

from msgspec.structs import asdict

from penstock.brokers.registry import open_broker
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.durable.items import queue_name
from penstock.durable.queue import DurableQueue
from penstock.durable.rules import Rules
from penstock.url import Url

__all__ = ["open_queue"]


def open_queue(
    url: str | Url,
    name: str,
    *,
    lease: float = 15.0,
    max_attempts: int = 3,
    max_deaths: int = 10,
    retry_delay: float = 0.0,
    patience: float = 5.0,
    clock: Clock = SYSTEM_CLOCK,
) -> DurableQueue:
    """The durable queue of that name at ``sqlite:///jobs.db``, ``memory://`` or another broker.

    It need not be made first, and connects on first use. ``lease``: seconds for which an item
    stays its holder's without being renewed; it is renewed for as long as the process lives.
    ``max_attempts``: failures in a ``with q.take()`` after which an item is kept aside;
    ``max_deaths``: processes that may die over one; ``retry_delay``: seconds before a failed one
    is had again; ``patience``: seconds for which a broker that is down is waited for.

    Raises ConfigError for a URL, a name or an option that makes no sense.
    """
    address = Url.parse(url)
    rules = Rules(
        lease=lease,
        max_attempts=max_attempts,
        max_deaths=max_deaths,
        retry_delay=retry_delay,
        patience=patience,
    ).checked()
    queue_name(name)  # before anything is opened
    return DurableQueue(
        broker=open_broker(address, clock=clock),
        name=name,
        rules=rules,
        clock=clock,
        reopen=(_reopened, (address.anchored(), name, asdict(rules))),
    )


def _reopened(url: str, name: str, rules: dict[str, float]) -> DurableQueue:
    return open_queue(url, name, **rules)  # type: ignore[arg-type] # as they were checked
