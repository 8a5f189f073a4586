"""The contract of durable queues notices what is wrong."""

import textwrap

import pytest

pytest_plugins = ["pytester"]

HEAD = """
from msgspec.structs import replace
from penstock.brokers.memory import MemoryBroker
from penstock.engines.memory import MemoryEngine
from penstock.testing.conformance import DurableQueueContract
"""

BROKER = """
class Broker{number}(MemoryBroker):
{body}

class TestQueue{number}(DurableQueueContract):
    def setup_method(self):
        self.engine = MemoryEngine()

    def make_broker(self, clock):
        return Broker{number}(engine=self.engine, clock=clock)
"""

# By the case that must notice it.
FAULTY = {
    "test_first_in_first_out": """
        def publish(self, messages):
            super().publish(messages[::-1])
    """,
    "test_plain_data_comes_back_as_it_was": """
        def publish(self, messages):
            super().publish([replace(m, body=m.body.replace(b"text", b"test")) for m in messages])
    """,
    "test_settling_late_writes_nothing": """
        def settle(self, settlements):
            super().settle(settlements)
            return []
    """,
    "test_it_notices_what_is_lost": """
        def extend(self, leases, ttl):
            return list(leases)
    """,
    "test_a_lease_is_renewed_for_as_long_as_its_holder_lives": """
        def extend(self, leases, ttl):
            return super().extend(leases, 0.0)
    """,
    "test_failures_are_counted_across_users": """
        def settle(self, settlements):
            return super().settle([
                replace(s, message=s.lease.message) if hasattr(s, "message") else s
                for s in settlements
            ])
    """,
    "test_it_waits_for_what_waits_and_for_what_is_held": """
        def queues(self):
            return [replace(state, leased=0) for state in super().queues()]
    """,
}


def test_what_is_faulty_fails(pytester: pytest.Pytester) -> None:
    bodies = (textwrap.indent(textwrap.dedent(body), "    ") for body in FAULTY.values())
    page = pytester.makepyfile(
        HEAD + "".join(BROKER.format(number=n, body=body) for n, body in enumerate(bodies))
    )
    cases = [f"{page.name}::TestQueue{n}::{case}[blocking]" for n, case in enumerate(FAULTY)]
    passed, skipped, failed = pytester.inline_run("-q", *cases).listoutcomes()
    assert [report.nodeid for report in (*passed, *skipped)] == []
    assert [report.nodeid for report in failed] == cases
