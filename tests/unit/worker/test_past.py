"""What is kept of a publication's past: whatever a header says, there is an answer."""

import pytest

from penstock.durable.past import Past as ItemPast
from penstock.message import Lease, Message
from penstock.worker.past import HEADER, Past


def message(said, header=HEADER, key="k"):
    return Message(id="1", queue="q", headers={header: said}, body=b"", key=key)


def test_a_past_comes_back_with_its_message():
    past = Past(key="k", crashes=2, alone=True)
    assert Past.of(past.on(message(None))) == past


def test_what_is_leased_for_the_first_time_has_none():
    past = Past(key="k", deaths=2, alone=True)
    leases = [Lease(past.on(message(None)), attempt, 0.0, attempt) for attempt in (1, 2)]
    assert [(found.deaths, found.alone) for found in map(Past.of_lease, leases)] == [
        (0, False),
        (2, True),
    ]


def test_the_past_of_another_publication_is_not_ours():
    assert Past.of(message({"key": "other", "crashes": 2})) == Past(key="k")


@pytest.mark.parametrize(
    "said", ["x", "\ud800", 7, [], {"\ud800": 1}, {"key": "k", "crashes": "\ud800"}, {"key": 1}]
)
def test_what_no_worker_wrote_says_nothing(said):
    """A header with a lone surrogate once ended the worker that claimed its message."""
    assert Past.of(message(said)) == Past(key="k")
    assert ItemPast.of(message(said, "penstock_failures")).failures == 0
