"""`penstock dead`: list, show, replay, drop."""

import pytest

from penstock.message import Dead

URL = "sqlite:///jobs.db"


@pytest.fixture
def letters(app):
    """Two dead letters: m1 of queue mail, n1 of queue night."""
    for task_id, queue in (("m1", "mail"), ("n1", "night")):
        app.send_task("tasks.send", ["ann"], queue=queue, task_id=task_id)
        (lease,) = app.broker.lease([queue], 1, 60.0)
        app.broker.settle([Dead(lease, f"no stamp for {task_id}")])
    return {letter.message.id: letter for letter in app.broker.dead()}


def test_list_as_json(penstock, letters):
    found = {each["id"]: each for each in penstock("-b", URL, "dead", "list", "--json").json}
    mail = letters["m1"]
    assert found["m1"] == {
        "id": "m1",
        "task": "tasks.send",
        "queue": "mail",
        "reason": "no stamp for m1",
        "attempts": 1,
        "dead_at": mail.dead_at,
        "key": mail.message.key,
    }
    assert set(found) == {"m1", "n1"}


def test_list_of_one_queue(penstock, letters):
    answer = penstock("-b", URL, "dead", "list", "--queue", "night", "--json")
    assert [each["id"] for each in answer.json] == ["n1"]


def test_list_as_a_table(penstock, letters):
    out = penstock("-b", URL, "dead", "list").out
    assert "no stamp for m1" in out
    assert "tasks.send" in out


def test_an_empty_list(penstock, app):
    assert penstock("-b", URL, "dead", "list").err == "There are no dead letters.\n"
    assert penstock("-b", URL, "dead", "list", "--json").json == []


@pytest.mark.parametrize("by", ["id", "key"])
def test_show_by_id_or_key(penstock, letters, by):
    letter = letters["m1"].message
    answer = penstock("-b", URL, "dead", "show", getattr(letter, by), "--json")
    assert answer.json["reason"] == "no stamp for m1"
    assert answer.json["headers"]["task"] == "tasks.send"
    assert answer.json["body"].startswith('[["ann"],')


def test_show_for_people(penstock, letters):
    out = penstock("-b", URL, "dead", "show", "m1").out
    assert "no stamp for m1" in out
    assert "ann" in out


def test_replay_one(penstock, app, letters):
    answer = penstock("-b", URL, "dead", "replay", "m1")
    assert answer.out == "m1 is in mail again\n"
    assert [letter.message.id for letter in app.broker.dead()] == ["n1"]
    assert [message.id for message in app.broker.peek("mail")] == ["m1"]


def test_replay_all(penstock, app, letters):
    answer = penstock("-b", URL, "dead", "replay", "--all", "--json")
    assert {each["id"] for each in answer.json} == {"m1", "n1"}
    assert app.broker.dead() == []


def test_drop_one(penstock, app, letters):
    answer = penstock("-b", URL, "dead", "drop", letters["n1"].message.key)
    assert answer.out == "1 dropped\n"
    assert [letter.message.id for letter in app.broker.dead()] == ["m1"]


def test_drop_all_by_force(penstock, app, letters):
    assert penstock("-b", URL, "dead", "drop", "--all", "-f").out == "2 dropped\n"
    assert app.broker.dead() == []


@pytest.mark.parametrize("verb", ["show", "replay", "drop"])
def test_one_that_is_not_there(penstock, letters, verb):
    answer = penstock("-b", URL, "dead", verb, "nosuch")
    assert answer.refused
    assert "nosuch" in answer.err


@pytest.mark.parametrize("verb", ["replay", "drop"])
@pytest.mark.parametrize("arguments", [(), ("m1", "--all")])
def test_either_names_or_all(penstock, letters, verb, arguments):
    assert penstock("-b", URL, "dead", verb, *arguments).refused
