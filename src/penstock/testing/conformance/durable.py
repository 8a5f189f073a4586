"""The contract of durable queues: all cases in one class."""

from __future__ import annotations

from penstock.testing.conformance.durable_crash import CrashCases, ForkCases
from penstock.testing.conformance.durable_crowd import DurableCrowdCases
from penstock.testing.conformance.durable_dead import DeadItemCases
from penstock.testing.conformance.durable_items import ItemCases, WishCases
from penstock.testing.conformance.durable_leases import DeathCases, LateCases, RenewalCases
from penstock.testing.conformance.durable_settling import ReturnCases, SettleCases, TakeCases
from penstock.testing.conformance.durable_waiting import GetWaitingCases, JoinCases, LoopCases

__all__ = ["DurableQueueContract"]


class DurableQueueContract(
    ItemCases,
    WishCases,
    SettleCases,
    TakeCases,
    ReturnCases,
    LateCases,
    RenewalCases,
    DeathCases,
    DeadItemCases,
    GetWaitingCases,
    JoinCases,
    LoopCases,
    CrashCases,
    ForkCases,
    DurableCrowdCases,
):
    """Everything that ``open_queue`` promises on a broker; subclass it, override ``make_broker``.

    Override ``url`` too where other processes share the broker: it is what they open.
    """
