"""What brokers, result stores and durable queues promise, as test cases that anybody can run.

::

    class TestMyBroker(BrokerContract):
        def make_broker(self, clock: Clock) -> Broker:
            return MyBroker(...)

pytest collects the cases of the subclass; each runs for blocking and for awaiting callers. What
a broker's capabilities say it cannot do is skipped, by name. A backend is done when they pass.
"""

from __future__ import annotations

import pytest

# Before they are imported: then a failing assertion shows its values.
pytest.register_assert_rewrite(
    f"{__name__}.company",
    f"{__name__}.crowd",
    f"{__name__}.delays",
    f"{__name__}.durable",
    f"{__name__}.durable_crash",
    f"{__name__}.durable_crowd",
    f"{__name__}.durable_dead",
    f"{__name__}.durable_items",
    f"{__name__}.durable_leases",
    f"{__name__}.durable_settling",
    f"{__name__}.durable_stage",
    f"{__name__}.durable_waiting",
    f"{__name__}.endings",
    f"{__name__}.leases",
    f"{__name__}.looking",
    f"{__name__}.order",
    f"{__name__}.publishing",
    f"{__name__}.results",
    f"{__name__}.results_waiting",
    f"{__name__}.stage",
    f"{__name__}.store_stage",
    f"{__name__}.timed",
    f"{__name__}.together",
    f"{__name__}.waiting",
)

from penstock.testing.conformance.broker import BrokerContract  # noqa: E402
from penstock.testing.conformance.durable import DurableQueueContract  # noqa: E402
from penstock.testing.conformance.results import ResultStoreContract  # noqa: E402

__all__ = ["BrokerContract", "DurableQueueContract", "ResultStoreContract"]
