"""Remote control on Redis: without Celery, and through a server's restart."""

import time

import pytest

from penstock import App
from penstock.control.watching import events
from programs import Program
from servers import RedisServer
from workers import wait_for

TASKS = """\
import os
from penstock import App

app = App("tasks", broker=os.environ["BROKER"])


@app.task
def add(x, y):
    return x + y
"""


@pytest.fixture(scope="module")
def server():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def worker(server, tmp_path_factory):
    import os
    import sys

    folder = tmp_path_factory.mktemp("control")
    (folder / "tasks.py").write_text(TASKS)
    program = Program(
        [sys.executable, "-m", "penstock", "-A", "tasks", "worker", "-l", "info", "-c", "1"],
        folder,
        env=os.environ | {"BROKER": server.url(5), "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert program.says(" ready.", 20), program.text
        yield program
    finally:
        program.kill()


@pytest.fixture
def app(server, worker):
    app = App("tasks", broker=server.url(5))
    yield app
    app.close()


def test_an_answer_comes_at_once_and_leaves_nothing(app, server):
    began = time.monotonic()
    ((answer,),) = [reply.values() for reply in app.control.ping(timeout=20.0)]
    assert answer == {"ok": "pong"}
    assert time.monotonic() - began < 10.0  # it knows that nobody else has heard it
    assert "pidbox" not in server.cli("--scan", "--pattern", "*.reply.celery.pidbox", db=5)
    assert server.cli("SCARD", "_kombu.binding.reply.celery.pidbox", db=5) == "0"


def test_tasks_are_silent_until_somebody_wants_to_hear_them(app, server):
    with RedisListening(app) as told:
        ids = [result.id for result in app.send_many_adds(20)]
        told.until("worker-heartbeat")
        assert {event["type"] for event in told.all} == {"worker-heartbeat"}
        app.control.enable_events(reply=True)
        result = app.send_task("tasks.add", (1, 2))
        assert result.get(timeout=20) == 3
        end = told.until("task-succeeded")
        assert (end["uuid"], end["result"]) == (result.id, "3")
        kinds = [e["type"] for e in told.all if e.get("uuid") == result.id]
        assert kinds == ["task-received", "task-started", "task-succeeded"]
        assert not [event for event in told.all if event.get("uuid") in ids]
        app.control.disable_events(reply=True)


class RedisListening:
    """All events while it is open."""

    def __init__(self, app):
        self.all = []
        self._app = app

        def send_many_adds(count):
            results = [app.send_task("tasks.add", (n, n)) for n in range(count)]
            for result in results:
                result.get(timeout=20)
            return results

        app.send_many_adds = send_many_adds

    def __enter__(self):
        self._ear = self._app.broker.talk.watch()
        return self

    def __exit__(self, *_):
        self._ear.close()

    def until(self, kind):
        """The next event of that kind."""
        from penstock.wire.events import read_events

        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self._ear.wait(deadline - time.monotonic())
            self._ear.clear()
            new = [event for note in self._ear.take() for event in read_events(note)]
            self.all += new
            for event in new:
                if event["type"] == kind:
                    return event
        raise AssertionError(f"no {kind} in {self.all}")


def test_events_can_be_watched_for_a_while(app):
    kinds = [event["type"] for event in events(app.broker, timeout=3.0)]
    assert "worker-heartbeat" in kinds


def test_it_hears_again_after_the_server_was_restarted(app, server, worker):
    server.restart()
    wait_for(lambda: answered(app), what="an answer")
    assert worker.running


def answered(app):
    from penstock.errors import BrokerError

    try:
        return app.control.ping(timeout=1.0)
    except BrokerError:  # the old connection, or none yet
        return []


def test_a_revocation_reaches_a_worker_that_did_not_listen_just_then(server, worker, app):
    """What penstock asks is kept: a worker whose connection was cut learns of it afterwards."""
    from penstock.brokers.registry import open_broker
    from penstock.wire.control import Request, read_request, request_note

    broker = open_broker(server.url(5))
    ear = broker.talk.requests("w@h")
    try:
        ear.take()
        assert int(server.cli("CLIENT", "KILL", "TYPE", "pubsub")) > 0
        app.broker.talk.ask(request_note(Request(method="revoke", arguments={"task_id": "x"})))
        heard = []
        wait_for(lambda: heard.extend(ear.take()) or heard, what="the request")
        assert [read_request(note).method for note in heard] == ["revoke"]
    finally:
        ear.close()
        broker.close()
