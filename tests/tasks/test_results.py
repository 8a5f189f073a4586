"""What a caller learns of its task."""

import asyncio
import threading

import pytest

from penstock import (
    App,
    AsyncResult,
    ConfigError,
    EncodeError,
    ResultTimeout,
    TaskRevokedError,
)
from penstock.testing.tasks import manual
from penstock.wire.control import read_request
from penstock.wire.note import unpack_note


@pytest.fixture
def app():
    return App("tasks")


@pytest.fixture
def box(app):
    with manual(app) as box:
        yield box


@pytest.fixture
def add(app):
    @app.task(name="tasks.add")
    def add(x, y):
        return x + y

    return add


@pytest.fixture
def fail(app):
    @app.task(name="tasks.fail")
    def fail():
        raise ValueError("boom")

    return fail


def test_before_and_after(add, box):
    result = add.delay(1, 2)
    assert (result.state, result.status, result.ready()) == ("PENDING", "PENDING", False)
    assert (result.result, result.traceback, result.children, result.date_done) == (None,) * 4
    box.drain()
    assert (result.state, result.status, result.ready()) == ("SUCCESS", "SUCCESS", True)
    assert (result.successful(), result.failed()) == (True, False)
    assert (result.result, result.info, result.children) == (3, 3, [])
    assert result.get(timeout=0) == 3
    assert result.date_done.timestamp() == pytest.approx(box.clock.wall())
    assert result.task_id == result.id


def test_by_id(app, add, box):
    result = add.delay(1, 2)
    box.drain()
    assert app.AsyncResult(result.id).get(timeout=0) == 3
    assert app.AsyncResult(result.id) == result
    assert len({app.AsyncResult(result.id), result}) == 1
    assert isinstance(app.AsyncResult("x"), AsyncResult)


@pytest.mark.parametrize("id", ["", None, 3])
def test_what_is_no_id(app, id):
    with pytest.raises(ConfigError):
        app.AsyncResult(id)


def test_awaiting(app, add, box):
    async def main():
        result = await add.adelay(1, 2)
        box.drain()
        again = app.AsyncResult(result.id)
        return await result, await again.aget(timeout=1)

    assert asyncio.run(main()) == (3, 3)


def test_a_failure_is_raised_as_what_it_was(fail, box):
    result = fail.delay()
    box.drain()
    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=0)
    assert result.failed()
    assert isinstance(result.get(timeout=0, propagate=False), ValueError)
    assert "ValueError: boom" in result.traceback


def test_time_out_names_the_task_and_its_state(add, box):
    result = add.delay(1, 2)
    with pytest.raises(ResultTimeout, match=rf"{result.id}.*0 s.*PENDING"):
        result.get(timeout=0)


def test_a_caller_that_waits_is_woken(add, box):
    result = add.delay(1, 2)
    got = []
    waiting = threading.Thread(target=lambda: got.append(result.get(timeout=30)))
    waiting.start()
    box.drain()
    waiting.join(30)
    assert got == [3]


def test_a_coroutine_that_waits_is_woken(add, box):
    async def main():
        result = await add.adelay(1, 2)
        waiting = asyncio.create_task(result.aget(timeout=30))
        await asyncio.sleep(0)  # let it begin to wait
        assert not waiting.done()
        box.drain()
        return await waiting

    assert asyncio.run(main()) == 3


def test_progress(app, box):
    seen = []

    @app.task(bind=True)
    def work(self):
        self.update_state(state="PROGRESS", meta={"done": 3})
        again = app.AsyncResult(self.request.id)
        seen.append((again.state, again.info, again.ready()))
        with pytest.raises(EncodeError):
            self.update_state("PROGRESS", object())
        with pytest.raises(ConfigError, match="SUCCESS"):
            self.update_state("SUCCESS", 1)

    result = work.delay()
    box.drain()
    assert seen == [("PROGRESS", {"done": 3}, False)]
    assert result.state == "SUCCESS"


def test_progress_from_outside(app, add, box):
    add.update_state("PROGRESS", 1, task_id="other")
    assert app.AsyncResult("other").info == 1
    with pytest.raises(ConfigError, match="task_id"):
        add.update_state("PROGRESS", 1)


def test_a_task_that_ignores_its_result_gives_none_at_once(app, box):
    @app.task(ignore_result=True)
    def work():
        return 1

    result = work.delay()
    assert result.get() is None
    box.drain()
    assert app.AsyncResult(result.id).state == "PENDING"


def test_a_call_decides_about_its_result(app, add, box):
    ignored = add.apply_async((1, 2), ignore_result=True)
    kept = add.apply_async((1, 2), ignore_result=False)
    box.drain()
    assert app.AsyncResult(ignored.id).state == "PENDING"
    assert kept.get(timeout=0) == 3


def test_children(app, add, box):
    @app.task
    def parent():
        add.delay(1, 2)
        add.send_many([(3, 4)])

    result = parent.delay()
    box.drain()
    assert [child.get(timeout=0) for child in result.children] == [3, 7]


def test_waiting_inside_a_task_is_refused_unless_allowed(app, add, box):
    @app.task
    def impatient(allowed):
        return add.delay(1, 2).get(timeout=0, disable_sync_subtasks=not allowed)

    refused, allowed = impatient.delay(False), impatient.delay(True)
    box.drain()
    assert isinstance(refused.result, ConfigError)
    assert isinstance(allowed.result, ResultTimeout)
    app.conf.allow_join_result = True
    by_setting = impatient.delay(False)
    box.drain()
    assert isinstance(by_setting.result, ResultTimeout)


def test_forget(app, add, box):
    result = add.delay(1, 2)
    box.drain()
    assert result.ready()
    result.forget()
    assert result.state == "PENDING"
    asyncio.run(result.aforget())


# --- revoke --------------------------------------------------------------------------------


def test_a_revoked_task_does_not_run(add, box):
    result = add.apply_async((1, 2), countdown=5)
    result.revoke()
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=0)
    box.clock.advance(5)
    assert box.drain() == []


def test_workers_are_told(add, box):
    result = add.delay(1, 2)
    result.revoke(terminate=True, signal="SIGKILL")
    told = [read_request(unpack_note(payload)) for payload in box.broker.announced()]
    asked = {"task_id": [result.id], "terminate": True, "signal": "SIGKILL"}
    assert [(t.method, t.arguments) for t in told] == [("revoke", asked)]


def test_what_has_ended_keeps_its_result(add, box):
    result = add.delay(1, 2)
    box.drain()
    result.revoke()
    assert result.state == "SUCCESS"


def test_what_has_started_keeps_its_state(app, box):
    @app.task(bind=True)
    def work(self):
        self.update_state("PROGRESS", 1)
        app.AsyncResult(self.request.id).revoke()
        return app.AsyncResult(self.request.id).state

    result = work.delay()
    box.drain()
    assert result.result == "PROGRESS"


def test_its_text_is_its_id(app):
    result = app.AsyncResult("some-id")
    assert str(result) == "some-id"
    assert repr(result) == "<AsyncResult some-id>"
