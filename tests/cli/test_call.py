"""`penstock call` stores one task as it was asked to."""

import time
from datetime import UTC, datetime

import pytest

from penstock.wire.task import read_header

URL = "sqlite:///jobs.db"


def sent(app):
    (message,) = app.broker.peek("celery")
    return message


def test_it_prints_the_id_of_what_is_stored(penstock, tasks, app):
    answer = penstock("-A", "tasks", "call", "tasks.add", "--args", "[4, 4]")
    assert answer.code == 0
    message = sent(app)
    assert answer.out == f"{message.id}\n"
    assert read_header(message).task == "tasks.add"


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_broker_alone_is_enough(penstock, app, place):
    command = ["call", "tasks.add", "--args", "[4, 4]"]
    url = ["--broker", URL]
    answer = penstock(*(url + command if place == "before" else command + url))
    assert answer.code == 0
    assert sent(app).id == answer.out.strip()


def test_arguments_arrive(penstock, app):
    penstock("-b", URL, "call", "t", "--args", '[1, "two"]', "--kwargs", '{"three": [3]}')
    args, kwargs, _ = app_body(sent(app))
    assert args == [1, "two"]
    assert kwargs == {"three": [3]}


def app_body(message):
    import json

    return json.loads(message.body)


def test_json_gives_the_id(penstock, app):
    answer = penstock("-b", URL, "call", "t", "--json")
    assert answer.json == {"id": sent(app).id}


def test_queue_priority_and_id(penstock, app):
    answer = penstock("-b", URL, "call", "t", "-Q", "mail", "--priority", "high", "--task-id", "x1")
    assert answer.out == "x1\n"
    (message,) = app.broker.peek("mail")
    assert (message.id, message.priority) == ("x1", 9)


def test_countdown(penstock, app):
    before = time.time()
    penstock("-b", URL, "call", "t", "--countdown", "60")
    (state,) = app.broker.queues()
    assert (state.ready, state.delayed) == (0, 1)
    assert 60 <= sent(app).ready_at - before < 90


def test_eta_with_a_zone(penstock, app):
    penstock("-b", URL, "call", "t", "--eta", "2040-01-31T06:00+02:00")
    assert sent(app).ready_at == datetime(2040, 1, 31, 4, tzinfo=UTC).timestamp()


def test_eta_without_a_zone_is_local(penstock, app):
    penstock("-b", URL, "call", "t", "--eta", "2040-01-31T06:00")
    assert sent(app).ready_at == datetime(2040, 1, 31, 6).timestamp()  # noqa: DTZ001 - local


def test_a_name_the_app_does_not_know_is_sent_with_a_note(penstock, tasks, app):
    answer = penstock("-A", "tasks", "call", "tasks.ad")
    assert answer.code == 0
    assert answer.err.startswith("Note: ")
    assert "did you mean tasks.add?" in answer.err
    assert read_header(sent(app)).task == "tasks.ad"


@pytest.mark.parametrize(
    "options",
    [
        ("--args", "[4, 4"),
        ("--args", '{"x": 4}'),
        ("--kwargs", "[4]"),
        ("--priority", "10"),
        ("--priority", "urgent"),
        ("--eta", "tomorrow"),
        ("--countdown", "soon"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_read_is_refused_before_anything_is_sent(penstock, app, options):
    answer = penstock("-b", URL, "call", "t", *options)
    assert answer.refused
    assert options[0] in answer.err
    assert app.broker.queues() == []


def test_arguments_that_the_task_does_not_take_are_refused(penstock, tasks, app):
    answer = penstock("-A", "tasks", "call", "tasks.add", "--args", "[4]")
    assert answer.refused
    assert "tasks.add" in answer.err
    assert app.broker.queues() == []


def test_waiting_for_nobody_ends_with_the_timeout(penstock, app):
    answer = penstock("-b", URL, "call", "t", "--wait", "--timeout", "0.05")
    assert answer.code == 3
    assert "not finished: PENDING" in answer.err
