"""`penstock queues`, `purge`, `tend` and `status` on a file with something in it."""

import io
import sys

import pytest

URL = "sqlite:///jobs.db"


@pytest.fixture
def busy(app):
    """Queue mail: two ready, one delayed, one in flight, one dead. Queue night: one ready."""
    from penstock.message import Dead

    app.send_task("m", queue="mail")
    (lease,) = app.broker.lease(["mail"], 1, 60.0)
    app.broker.settle([Dead(lease, "nobody wants it")])
    for _ in range(3):
        app.send_task("m", queue="mail")
    app.broker.lease(["mail"], 1, 60.0)
    app.send_task("m", queue="mail", countdown=3600)
    app.send_task("n", queue="night")


def test_queues_as_json(penstock, busy):
    mail, night = penstock("--broker", URL, "queues", "--json").json
    assert mail.pop("oldest") >= 0
    assert mail == {"name": "mail", "ready": 2, "delayed": 1, "leased": 1, "dead": 1}
    assert (night["name"], night["ready"]) == ("night", 1)


def test_queues_as_a_table(penstock, busy):
    head, _, mail, night = penstock("--broker", URL, "queues").out.splitlines()
    assert head.split() == ["queue", "ready", "delayed", "in", "flight", "dead", "oldest"]
    assert mail.split()[:5] == ["mail", "2", "1", "1", "1"]
    assert night.split()[:5] == ["night", "1", "0", "0", "0"]


def test_no_queue_yet(penstock, app):
    answer = penstock("--broker", URL, "queues")
    assert (answer.code, answer.out, answer.err) == (0, "", "There is no queue yet.\n")


def test_the_file_in_the_current_folder_is_the_default(penstock, folder, app):
    app.send_task("n", queue="night")
    app.close()
    (folder / "jobs.db").rename(folder / "penstock.db")
    assert [queue["name"] for queue in penstock("queues", "--json").json] == ["night"]


def test_another_folder(penstock, folder, busy, monkeypatch):
    inner = folder / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    answer = penstock("--workdir", str(folder), "--broker", URL, "queues", "--json")
    assert [queue["name"] for queue in answer.json] == ["mail", "night"]


def test_purge_asks_and_does_nothing_without_a_yes(penstock, app, busy, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    answer = penstock("--broker", URL, "purge", "mail")
    assert answer.code != 0
    assert "3 in mail" in answer.err
    assert app.broker.depth("mail") == 3


def test_purge_with_a_yes(penstock, app, busy, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    answer = penstock("--broker", URL, "purge", "mail")
    assert (answer.code, answer.out) == (0, "mail: 3 dropped\n")
    assert app.broker.depth("mail") == 0


def test_purge_by_force_leaves_what_is_in_flight_and_dead(penstock, app, busy):
    answer = penstock("--broker", URL, "purge", "-f", "mail", "night", "--json")
    assert answer.json == {"mail": 3, "night": 1}
    mail = next(queue for queue in app.broker.queues() if queue.name == "mail")
    assert (mail.ready, mail.delayed, mail.leased, mail.dead) == (0, 0, 1, 1)


def test_purge_wants_a_queue(penstock, app):
    answer = penstock("--broker", URL, "purge")
    assert answer.code == 2
    assert "QUEUE" in answer.err


def test_tend_once(penstock, app):
    app.send_task("n", countdown=-1)
    answer = penstock("--broker", URL, "tend", "--once")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_status_without_a_worker(penstock, app):
    app.broker.queues()
    answer = penstock("--broker", URL, "status")
    assert (answer.code, answer.out) == (1, "")
    assert "No worker" in answer.err


def test_status_shows_a_worker(penstock, app):
    app.broker.enrol("w1@here", {"pool": "prefork"})
    answer = penstock("--broker", URL, "status", "--json")
    (worker,) = answer.json
    assert answer.code == 0
    assert (worker["name"], worker["alive"]) == ("w1@here", True)
    head, _, line = penstock("--broker", URL, "status").out.splitlines()
    assert head.split() == ["name", "pid", "alive", "up"]
    assert line.split()[0] == "w1@here"
