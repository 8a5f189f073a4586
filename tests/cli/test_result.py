"""`penstock result` prints the value, and its exit code says how the task ended."""

import time

import pytest

from penstock.message import Record
from penstock.wire.result import ResultDocument, encode_result, exception_document

URL = "sqlite:///jobs.db"


@pytest.fixture
def store(app):
    """Puts one result into the file."""

    def put(state, value=None, traceback=None, *, final=True):
        document = ResultDocument(
            task_id="t1", status=state, result=value, traceback=traceback, date_done=time.time()
        )
        app.store.put([Record(id="t1", state=state, document=encode_result(document), final=final)])

    return put


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (8, "8"),
        ("eight", "eight"),
        (None, "null"),
        ([1, "a"], '[1,"a"]'),
        ({"x": 1.5}, '{"x":1.5}'),
    ],
)
def test_success_prints_the_value(penstock, store, value, shown):
    store("SUCCESS", value)
    answer = penstock("--backend", URL, "--broker", URL, "result", "t1")
    assert (answer.code, answer.out, answer.err) == (0, shown + "\n", "")


def test_failure_is_told_on_standard_error(penstock, store):
    store("FAILURE", exception_document(ValueError("no money")), "Traceback: line 3")
    answer = penstock("--broker", URL, "result", "t1")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "FAILURE: ValueError: no money\n"


def test_the_traceback_is_shown_when_asked_for(penstock, store):
    store("FAILURE", exception_document(ValueError("no money")), "Traceback: line 3\n")
    answer = penstock("--broker", URL, "result", "t1", "--traceback")
    assert (answer.code, answer.out) == (1, "Traceback: line 3\n")


def test_revoked_is_a_failure(penstock, app):
    app.AsyncResult("t1").revoke()
    answer = penstock("--broker", URL, "result", "t1")
    assert answer.code == 1
    assert answer.err.startswith("REVOKED")


def test_a_custom_state_is_not_finished(penstock, store):
    store("BAKING", {"done": 2}, final=False)
    answer = penstock("--broker", URL, "result", "t1")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == 'not finished: BAKING {"done":2}\n'


def test_unknown_is_not_finished(penstock, app):
    app.broker.queues()
    answer = penstock("--broker", URL, "result", "t1", "--timeout", "0.05")
    assert (answer.code, answer.out, answer.err) == (3, "", "not finished: PENDING\n")


def test_json_has_it_all(penstock, store):
    store("SUCCESS", {"x": 1})
    answer = penstock("--broker", URL, "result", "t1", "--json")
    assert answer.json == {"id": "t1", "state": "SUCCESS", "result": {"x": 1}}


def test_json_of_a_failure(penstock, store):
    store("FAILURE", exception_document(ValueError("no money")), "Traceback: line 3")
    answer = penstock("--broker", URL, "result", "t1", "--json")
    assert answer.code == 1
    assert answer.json["state"] == "FAILURE"
    assert answer.json["error"] == "ValueError: no money"
    assert answer.json["traceback"] == "Traceback: line 3"
