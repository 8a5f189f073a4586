"""What is stored of an outcome."""

import pickle

import msgspec
import pytest

from penstock import EncodeError, ResultTimeout
from penstock.clock import ManualClock
from penstock.message import Message
from penstock.tasks.frame import Delivery
from penstock.tasks.outcome import (
    Failed,
    Ignored,
    Rejected,
    Retrying,
    Succeeded,
    followed,
    record,
    report,
)
from penstock.tasks.retry import next_call
from penstock.tasks.settings import Settings
from penstock.wire.result import decode_result, read_exception
from penstock.wire.task import Call, decode_call

NOW = ManualClock().wall()
CALL = Call(
    task="tasks.add", id="i", args=(1,), kwargs={"y": 2}, root_id="i", group="g", parent_id="p"
)


def written(outcome, ignore_result=False, **settings):
    return report(
        outcome,
        CALL,
        settings=Settings.of(settings),
        delivery=Delivery(queue="q", hostname="w@h"),
        now=NOW,
        ignore_result=ignore_result,
    )


def document(outcome, **settings):
    return decode_result(written(outcome, **settings).document)


def failed(error, traceback="Traceback …"):
    return Failed(error=error, traceback=traceback, runtime=0.1)


def test_a_success():
    done = Succeeded(value={"a": [1]}, runtime=0.1, children=("c1",))
    stored = document(done)
    assert written(done).state == stored.status == "SUCCESS"
    assert (stored.task_id, stored.result, stored.traceback) == ("i", {"a": [1]}, None)
    assert (stored.group_id, stored.parent_id) == ("g", "p")
    assert stored.children[0][0][0] == "c1"
    assert stored.date_done == pytest.approx(NOW)


def test_a_failure():
    stored = document(failed(ValueError("boom", 3)))
    assert (stored.status, stored.traceback) == ("FAILURE", "Traceback …")
    error = read_exception(stored.result)
    assert type(error) is ValueError
    assert error.args == ("boom", 3)


def test_a_retry_is_not_final():
    again = Retrying(call=CALL, at=NOW, error=OSError("down"), traceback="t", runtime=0.1)
    stored = document(again)
    assert stored.status == "RETRY"
    assert stored.date_done is None
    assert stored.children[-1][0][0] == "i"
    assert isinstance(read_exception(stored.result), OSError)


def test_a_retry_without_a_cause():
    again = Retrying(call=CALL, at=NOW, error=None, traceback=None, runtime=0.1)
    assert document(again).result is None


def test_nothing_is_stored_of_what_is_ignored():
    assert written(Ignored(runtime=0.1)).document is None
    assert written(Succeeded(value=1, runtime=0.1), ignore_result=True).document is None
    assert written(Rejected(reason="r", requeue=True, runtime=0.1)).document is None


def test_a_rejected_message_is_a_failure():
    stored = document(Rejected(reason="not mine", requeue=False, runtime=0.1))
    assert stored.status == "FAILURE"
    assert stored.result["exc_type"] == "Reject"
    assert stored.result["exc_message"][0] == "not mine"


def test_extended_results_tell_of_the_call():
    stored = document(Succeeded(value=1, runtime=0.1), result_extended=True)
    assert (stored.name, list(stored.args), stored.kwargs) == ("tasks.add", [1], {"y": 2})
    assert (stored.worker, stored.queue, stored.retries) == ("w@h", "q", 0)


def test_a_value_without_a_form_is_a_failure_that_names_its_type():
    stored = written(Succeeded(value=object(), runtime=0.1))
    assert isinstance(stored.outcome, Failed)
    assert isinstance(stored.outcome.error, EncodeError)
    error = read_exception(decode_result(stored.document).result)
    assert "tasks.add returned a value of type object" in str(error)


def test_a_value_that_is_too_large_is_a_failure_that_names_the_remedy():
    stored = document(Succeeded(value="x" * 5000, runtime=0.1), result_max_bytes=4000)
    text = str(read_exception(stored.result))
    assert "tasks.add" in text
    assert "result_max_bytes" in text


def test_a_failure_that_is_too_large_is_shortened():
    stored = document(failed(ValueError("x" * 50_000), "t" * 50_000), result_max_bytes=4000)
    assert stored.status == "FAILURE"
    assert "ValueError: xxx" in str(read_exception(stored.result))


class Awkward(Exception):
    def __init__(self):
        super().__init__(object(), {1, 2})


class Broken(Exception):
    def __repr__(self):
        raise RuntimeError

    __str__ = __repr__


@pytest.mark.parametrize(
    "error",
    [Awkward(), Broken(Broken()), Broken(object()), ResultTimeout("x"), SystemExit(3), KeyError()],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_without_a_form_is_a_failure_all_the_same(error):
    assert document(failed(error)).status == "FAILURE"


def test_a_record_is_final_when_the_task_ended():
    ended = record(written(failed(ValueError())), CALL, key="k", attempt=2, ttl=9.0)
    assert (ended.id, ended.key, ended.attempt, ended.final, ended.ttl) == ("i", "k", 2, True, 9.0)
    again = Retrying(call=CALL, at=NOW, error=None, traceback=None, runtime=0.1)
    assert record(written(again), CALL, key="k", attempt=2, ttl=9.0).final is False
    assert record(written(Ignored(runtime=0.1)), CALL, key="k", attempt=1, ttl=None) is None


def test_the_next_run_is_a_new_publication_in_the_same_place():
    message = Message(id="i", queue="q", headers={}, body=b"", priority=4)
    again = Retrying(call=CALL, at=NOW + 5, error=None, traceback=None, runtime=0.1)
    _, following = followed(again, CALL, message, settings=Settings())
    assert (following.id, following.queue, following.priority) == ("i", "q", 4)
    assert following.ready_at == NOW + 5
    assert following.key != message.key
    _, repeated = followed(again, CALL, message, settings=Settings())
    assert repeated.key == following.key  # a run that is repeated asks for no second retry
    assert decode_call(following).task == "tasks.add"


def test_a_retry_that_cannot_be_sent_is_a_failure_that_says_why():
    message = Message(id="i", queue="q", headers={}, body=b"")
    for args, settings, reason in (
        ((object(),), Settings(), "of type object has no form"),
        (("x" * 2000,), Settings(message_max_bytes=1000), "message_max_bytes"),
    ):
        call = msgspec.structs.replace(CALL, args=args)
        again = Retrying(call=call, at=NOW, error=None, traceback=None, runtime=0.1)
        outcome, following = followed(again, CALL, message, settings=settings)
        assert following is None
        assert isinstance(outcome, Failed)
        assert reason in str(outcome.error)


def test_a_retry_of_a_pickled_call_carries_the_pickle_on():
    body = pickle.dumps((({1, 2},), {}, {}))
    properties = {"content_type": "application/x-python-serialize", "content_encoding": "binary"}
    message = Message(
        id="i", queue="q", headers={"task": "t", "id": "i"}, body=body, properties=properties
    )
    accepting = Settings(accept_content=("json", "pickle"))
    call = decode_call(message, limits=accepting.message_limits)
    again = Retrying(
        call=next_call(call, at=NOW + 1), at=NOW + 1, error=None, traceback=None, runtime=0.1
    )
    outcome, following = followed(again, call, message, settings=accepting)
    assert outcome is again
    assert (following.body, dict(following.properties)) == (body, properties)
    read = decode_call(following, limits=accepting.message_limits)
    assert (read.args, read.retries) == ([{1, 2}], 1)
    assert read.argsrepr == "({1, 2},)"
