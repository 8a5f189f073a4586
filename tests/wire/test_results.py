"""Result documents: there and back, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DecodeError, EncodeError
from penstock.wire.codec import Limits
from penstock.wire.result import ResultDocument, decode_result, encode_result, encode_success
from wire_values import documents


@given(documents())
def test_a_document_comes_back_as_it_was(document):
    assert decode_result(encode_result(document)) == document


def test_a_moment_is_written_for_ready_states_alone():
    for status, done in (("SUCCESS", True), ("RETRY", False), ("PROGRESS", False)):
        document = ResultDocument(task_id="1", status=status, date_done=1_800_000_000.0)
        written = json.loads(encode_result(document))["date_done"]
        assert written == ("2027-01-15T08:00:00+00:00" if done else None)


def test_stamps_stand_beside_the_members_and_cannot_take_their_place():
    document = ResultDocument(
        task_id="1",
        status="SUCCESS",
        stamped_headers=["customer", "status"],
        stamps={"customer": "acme", "status": "FAILURE"},
    )
    written = json.loads(encode_result(document))
    assert (written["customer"], written["status"]) == ("acme", "SUCCESS")
    assert decode_result(json.dumps(written)).stamps == {"customer": "acme"}


def test_a_moment_may_come_without_offset_or_as_a_typed_value():
    for moment in (
        "2027-01-15T08:00:00",
        {"__type__": "datetime", "__value__": "2027-01-15T08:00:00Z"},
    ):
        data = json.dumps({"task_id": "1", "status": "SUCCESS", "date_done": moment})
        assert decode_result(data).date_done == 1_800_000_000.0


def test_members_of_others_are_passed_over():
    assert decode_result('{"task_id": "1", "status": "X", "more": 1}').stamps == {}


@pytest.mark.parametrize(
    "data",
    [
        "", "[]", "null", "{}", '{"task_id": "1"}', '{"status": "SUCCESS"}',
        '{"task_id": 1, "status": "SUCCESS"}', '{"task_id": "1", "status": null}',
        '{"task_id": "1", "status": "X", "date_done": "soon"}',
        '{"task_id": "1", "status": "X", "date_done": 5}',
        '{"task_id": "1", "status": "X", "children": 5}',
        '{"task_id": "1", "status": "X", "traceback": []}',
    ],
)  # fmt: skip
def test_what_is_no_result_document_is_refused(data):
    with pytest.raises(DecodeError):
        decode_result(data)


def test_a_value_without_form_is_refused():
    with pytest.raises(EncodeError, match="type object"):
        encode_result(ResultDocument(task_id="1", status="SUCCESS", result=object()))


@given(st.text(min_size=1), st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_a_plain_success_is_written_as_any_result(task_id, value):
    now = 1_700_000_000.25
    document = ResultDocument(
        task_id=task_id, status="SUCCESS", result=value, children=[], date_done=now
    )
    assert encode_success(task_id, value, now) == encode_result(document)


def test_a_plain_success_is_as_deep_as_any_result():
    limits = Limits(max_depth=3)
    encode_success("1", [[]], 0.0, limits=limits)
    with pytest.raises(EncodeError, match="levels deep"):
        encode_success("1", [[[]]], 0.0, limits=limits)
