"""The contract of brokers: all cases in one class."""

from __future__ import annotations

from penstock.testing.conformance.company import CompanyCases
from penstock.testing.conformance.crowd import CrowdCases
from penstock.testing.conformance.delays import DelayCases
from penstock.testing.conformance.endings import DeadLetterCases, RevokingCases
from penstock.testing.conformance.leases import FenceCases, LeaseCases
from penstock.testing.conformance.looking import LookingCases
from penstock.testing.conformance.order import OrderCases
from penstock.testing.conformance.publishing import PublishingCases
from penstock.testing.conformance.together import TogetherCases
from penstock.testing.conformance.waiting import CancellingCases, ListeningCases, WaitingCases

__all__ = ["BrokerContract"]


class BrokerContract(
    PublishingCases,
    OrderCases,
    LeaseCases,
    FenceCases,
    DelayCases,
    DeadLetterCases,
    RevokingCases,
    LookingCases,
    TogetherCases,
    WaitingCases,
    CancellingCases,
    ListeningCases,
    CompanyCases,
    CrowdCases,
):
    """Everything a broker promises; subclass it and override ``make_broker``.

    Override ``make_store`` too where the broker has a result store into which it settles.
    """
