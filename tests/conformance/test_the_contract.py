"""The contract notices what is wrong, and says what it skips."""

import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from penstock.testing.conformance import (
    BrokerContract,
    DurableQueueContract,
    ResultStoreContract,
)

pytest_plugins = ["pytester"]

HEAD = """
import time
from msgspec.structs import replace
from penstock.brokers.base import Capabilities
from penstock.brokers.memory import MemoryBroker
from penstock.engines.memory import MemoryEngine
from penstock.results.memory import MemoryStore
from penstock.testing.conformance import BrokerContract, ResultStoreContract
"""

BROKER = """
class Broker{number}(MemoryBroker):
{body}

class TestBroker{number}(BrokerContract):
    def setup_method(self):
        self.engine = MemoryEngine()

    def make_broker(self, clock):
        return Broker{number}(engine=self.engine, clock=clock)
"""

STORE = """
class Store{number}(MemoryStore):
{body}

class TestStore{number}(ResultStoreContract):
    def setup_method(self):
        self.engine = MemoryEngine()

    def make_store(self, clock):
        return Store{number}(engine=self.engine, clock=clock)
"""

# By the case that must notice it.
FAULTY_BROKERS = {
    "test_a_batch_is_kept_whole_and_in_order": """
        def publish(self, messages):
            super().publish(messages[:-1])
    """,
    "test_first_in_first_out": """
        def lease(self, queues, limit, ttl, wait=0.0):
            return super().lease(queues, limit, ttl, wait)[::-1]
    """,
    "test_publishing_a_key_again_stores_nothing_new": """
        def publish(self, messages):
            key = f"{time.monotonic()}"
            super().publish([replace(message, key=key + message.key) for message in messages])
    """,
    "test_never_early": """
        def publish(self, messages):
            super().publish([replace(message, ready_at=0.0) for message in messages])
    """,
    "test_settled_is_settled": """
        def settle(self, settlements):
            return []
    """,
    "test_a_stale_holder_settles_nothing": """
        def settle(self, settlements):
            super().settle(settlements)
            return []
    """,
    "test_extending_tells_which_leases_are_lost": """
        def extend(self, leases, ttl):
            return list(leases)
    """,
    "test_queues_share_a_claim": """
        def lease(self, queues, limit, ttl, wait=0.0):
            return super().lease(queues[:1], limit, ttl, wait)
    """,
    "test_it_waits_as_long_as_it_was_told": """
        def lease(self, queues, limit, ttl, wait=0.0):
            return super().lease(queues, limit, ttl)
    """,
    "test_waiting_is_not_busy": """
        def lease(self, queues, limit, ttl, wait=0.0):
            end = time.monotonic() + wait
            while not (found := super().lease(queues, limit, ttl)) and time.monotonic() < end:
                pass
            return found
    """,
}

FAULTY_STORES = {
    "test_what_was_put_can_be_got": """
        def put(self, records):
            return []
    """,
    "test_nothing_follows_the_final_record_of_its_publication": """
        def put(self, records):
            self.forget([record.id for record in records])
            return super().put(records)
    """,
    "test_after_its_lifetime_it_is_gone": """
        def put(self, records):
            return super().put([replace(record, ttl=None) for record in records])
    """,
    "test_one_that_is_missing_is_waited_for": """
        def wait(self, ids, timeout):
            return super().wait(ids[:1], timeout) + self.get(ids[1:])
    """,
    "test_true_for_the_last": """
        def arrive(self, group, member, size):
            return True
    """,
}


def source(template: str, bodies: Iterable[str]) -> str:
    return "".join(
        template.format(number=number, body=textwrap.indent(textwrap.dedent(body), "    "))
        for number, body in enumerate(bodies)
    )


def test_what_is_faulty_fails(pytester: pytest.Pytester) -> None:
    page = pytester.makepyfile(
        HEAD + source(BROKER, FAULTY_BROKERS.values()) + source(STORE, FAULTY_STORES.values())
    )
    cases = [f"TestBroker{number}::{case}" for number, case in enumerate(FAULTY_BROKERS)]
    cases += [f"TestStore{number}::{case}" for number, case in enumerate(FAULTY_STORES)]
    ids = [f"{page.name}::{case}[blocking]" for case in cases]
    passed, skipped, failed = pytester.inline_run("-q", *ids).listoutcomes()
    assert [report.nodeid for report in (*passed, *skipped)] == []
    assert [report.nodeid for report in failed] == ids


def test_what_a_broker_cannot_do_is_skipped_by_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + source(BROKER, ["capabilities = Capabilities(delays=False)"]))
    result = pytester.runpytest_inprocess("-rs", "-k", "test_never_early")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*Broker0 does not have the capability 'delays'*"])


def test_without_make_broker_it_says_what_to_write(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "from penstock.testing.conformance import BrokerContract\n"
        "class TestMine(BrokerContract): pass\n"
    )
    result = pytester.runpytest_inprocess("-k", "test_settled_is_settled")
    result.stdout.fnmatch_lines(["*overrides make_broker(clock)*"])


@pytest.mark.parametrize("contract", [BrokerContract, ResultStoreContract, DurableQueueContract])
def test_no_case_hides_another(contract: type) -> None:
    """Two parts of a contract with one name in common would run one of them only."""
    parts = [part for part in contract.__mro__[1:] if part is not object]
    names = Counter(name for part in parts for name in vars(part) if not name.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_part_shows_values_when_it_fails() -> None:
    """pytest rewrites only the modules that the package names."""
    import penstock.testing.conformance as package

    (folder,) = package.__path__
    parts = {path.stem for path in Path(folder).glob("*.py")} - {"__init__", "broker"}
    text = Path(package.__file__).read_text("utf-8")
    assert {part for part in parts if f'f"{{__name__}}.{part}"' not in text} == set()
