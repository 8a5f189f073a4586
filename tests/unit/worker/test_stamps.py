"""Stamps are matched as Celery's workers match them."""

import pytest

from penstock.clock import ManualClock
from penstock.worker.control.revoked import Revoked
from penstock.worker.control.stamps import is_stamped, stamps_in


@pytest.mark.parametrize(
    ("named", "read"),
    [
        ({"batch": "a"}, {"batch": ["a"]}),
        ({"batch": ["a", "b"], "who": 3}, {"batch": ["a", "b"], "who": [3]}),
        (["batch=a", "who=x=y", "batch=b"], {"batch": ["a", "b"], "who": ["x=y"]}),
    ],
)
def test_what_a_request_names(named, read):
    assert stamps_in(named) == read


@pytest.mark.parametrize("named", [None, "batch=a", 3])
def test_what_names_no_stamps_is_refused(named):
    with pytest.raises(TypeError, match="stamps are named"):
        stamps_in(named)


@pytest.mark.parametrize(
    ("headers", "matches"),
    [
        ({}, False),
        ({"stamped_headers": ["batch"], "stamps": {"batch": "a"}}, True),
        ({"stamped_headers": ["batch"], "stamps": {"batch": ["z", "a"]}}, True),
        ({"stamped_headers": ["batch"], "stamps": {"batch": ["z"]}}, False),
        ({"stamped_headers": ["batch"], "stamps": {"batch": None}}, False),
        ({"stamped_headers": ["other"], "stamps": {"batch": "a", "other": "a"}}, False),
        ({"stamped_headers": [], "stamps": {"batch": "a"}}, False),
        ({"stamped_headers": [["batch"], None], "stamps": {"batch": "a"}}, False),
        ({"stamped_headers": ["batch"], "stamps": [{"batch": "a"}]}, False),
        ({"stamped_headers": ["batch"], "stamps": {"batch": {"a": 1}}}, False),
    ],
)
def test_which_tasks_carry_one(headers, matches):
    assert is_stamped(headers, {"batch": ["a", "b"]}) is matches
    revoked = Revoked(ManualClock())
    assert not revoked.has_stamp_of(headers)
    revoked.add_stamps({"batch": ["b"]})
    revoked.add_stamps({"batch": ["a"]})
    assert revoked.has_stamp_of(headers) is matches


def test_only_the_latest_values_are_kept():
    revoked = Revoked(ManualClock())
    revoked.add_stamps({"batch": list(range(3000))})
    newest = {"stamped_headers": ["batch"], "stamps": {"batch": [2999]}}
    oldest = {"stamped_headers": ["batch"], "stamps": {"batch": [0]}}
    assert revoked.has_stamp_of(newest)
    assert not revoked.has_stamp_of(oldest)
