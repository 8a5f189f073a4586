"""The manual mode: messages wait until the test runs them, on the test's own clock."""

import pytest

from penstock import App, Reject
from penstock.tasks.outcome import Retrying, Succeeded
from penstock.testing.tasks import manual


@pytest.fixture
def app():
    return App("tasks")


def test_nothing_runs_until_it_is_drained(app):
    runs = []

    @app.task
    def work(x):
        runs.append(x)

    with manual(app) as box:
        work.delay(1)
        assert runs == []
        assert [call.args for call in box.enqueued(work)] == [[1]]
        assert [type(outcome) for outcome in box.drain()] == [Succeeded]
        assert runs == [1]
        assert box.enqueued() == []


def test_a_countdown_waits_for_the_clock(app):
    @app.task
    def work():
        return None

    with manual(app) as box:
        work.apply_async(countdown=60)
        assert box.drain() == []
        assert len(box.enqueued(work)) == 1
        box.clock.advance(60)
        assert len(box.drain()) == 1


def test_a_retry_waits_for_the_clock_and_its_state_shows(app):
    @app.task(bind=True, max_retries=1)
    def work(self):
        if self.request.retries == 0:
            self.retry(exc=OSError("down"), countdown=30)
        return "done"

    with manual(app) as box:
        result = work.delay()
        (outcome,) = box.drain()
        assert isinstance(outcome, Retrying)
        assert result.state == "RETRY"
        assert isinstance(result.result, OSError)
        assert [call.retries for call in box.enqueued(work)] == [1]
        box.clock.advance(30)
        box.drain()
        assert result.get(timeout=0) == "done"


def test_autoretry_with_backoff(app):
    @app.task(autoretry_for=(OSError,), retry_backoff=True, max_retries=2)
    def work():
        raise OSError("down")

    with manual(app) as box:
        result = work.delay()
        runs = 0
        while box.enqueued():
            runs += len(box.drain())
            box.clock.advance(10)
        assert runs == 3
        assert result.state == "FAILURE"


def test_what_expired_is_revoked(app):
    @app.task
    def work():
        return None

    with manual(app) as box:
        result = work.apply_async(expires=5)
        box.clock.advance(6)
        assert box.drain() == []
        assert result.state == "REVOKED"


def test_an_unknown_task_is_a_dead_letter(app):
    with manual(app) as box:
        result = app.send_task("tasks.nobody")
        assert box.drain() == []
        assert "tasks.nobody" in box.broker.dead()[0].reason
        assert result.state == "FAILURE"


@pytest.mark.parametrize(("requeue", "waiting", "dead"), [(False, 0, 1), (True, 1, 0)])
def test_a_rejected_message(app, requeue, waiting, dead):
    @app.task
    def refuse():
        raise Reject("not mine", requeue=requeue)

    with manual(app) as box:
        refuse.delay()
        box.drain()
        assert len(box.enqueued()) == waiting
        assert len(box.broker.dead()) == dead


def test_the_app_is_as_before_afterwards():
    app = App("tasks", broker="memory://before")
    before = app.broker
    with manual(app):
        assert app.broker is not before
    assert app.broker is before
    app.close()
