"""Tasks that run where they are sent."""

import asyncio

import pytest

from penstock import App, EncodeError, Reject
from penstock.testing.tasks import inline


@pytest.fixture
def app():
    app = App("tasks", broker="memory://eager", task_always_eager=True)
    yield app
    app.close()


def test_delay_runs_at_once(app):
    @app.task(bind=True)
    def add(self, x, y):
        assert self.request.is_eager
        return x + y

    result = add.delay(1, 2)
    assert (result.get(), result.state, result.ready()) == (3, "SUCCESS", True)
    assert add.apply_async((1,), {"y": 4}).get() == 5
    assert [each.get() for each in add.send_many([(1, 1), (2, 2)])] == [2, 4]
    result.revoke()
    assert result.state == "SUCCESS"


def test_apply_needs_no_setting():
    app = App("tasks", broker="memory://apply")

    @app.task
    def add(x, y):
        return x + y

    assert add.apply((1, 2)).get() == 3
    assert app.broker.queues() == []


def test_an_exception_shows_when_its_result_is_read(app):
    error = ValueError("boom")

    @app.task
    def fail():
        raise error

    result = fail.delay()
    assert (result.state, result.result) == ("FAILURE", error)
    assert result.get(propagate=False) is error
    with pytest.raises(ValueError, match="boom"):
        result.get()


def test_exceptions_propagate_where_that_is_set(app):
    @app.task
    def fail():
        raise ValueError("boom")

    app.conf.task_eager_propagates = True
    with pytest.raises(ValueError, match="boom"):
        fail.delay()
    assert fail.apply(throw=False).failed()


def test_retries_happen_without_waiting(app):
    runs = []

    @app.task(bind=True, max_retries=2)
    def work(self):
        runs.append(self.request.retries)
        self.retry(exc=OSError("down"), countdown=3600)

    result = work.delay()
    assert runs == [0, 1, 2]
    assert isinstance(result.result, OSError)


def test_a_coroutine_function_runs_with_and_without_a_loop(app):
    @app.task(bind=True)
    async def work(self):
        await asyncio.sleep(0)
        return id(asyncio.get_running_loop()), self.request.is_eager

    async def main():
        here = await work.adelay()
        elsewhere = work.delay()
        return id(asyncio.get_running_loop()), here.get(), elsewhere.get()

    own, here, elsewhere = asyncio.run(main())
    assert here == [own, True]
    assert elsewhere[0] != own
    assert work.delay().get()[1] is True


def test_a_coroutine_function_called_as_a_function(app):
    @app.task(bind=True)
    async def work(self, x):
        await asyncio.sleep(0)
        return x, self.request.called_directly

    assert asyncio.run(work(1)) == (1, True)


def test_what_would_not_survive_the_way_does_not_here(app):
    @app.task
    def echo(x):
        return x

    with pytest.raises(EncodeError):
        echo.delay(object())
    assert echo.delay((1, 2)).get() == [1, 2]


def test_a_rejected_message_is_a_failure(app):
    @app.task
    def refuse():
        raise Reject("not mine")

    assert isinstance(refuse.delay().result, Reject)


def test_results_are_stored_where_that_is_set(app):
    @app.task
    def one():
        return 1

    assert app.AsyncResult(one.delay().id).state == "PENDING"
    app.conf.task_store_eager_result = True
    assert app.AsyncResult(one.delay().id).get(timeout=0) == 1


def test_the_inline_mode():
    app = App("tasks", broker="memory://real")

    @app.task
    def add(x, y):
        return x + y

    with inline(app):
        result = add.delay(1, 2)
        assert result.get() == 3
        assert app.AsyncResult(result.id).get(timeout=0) == 3
    assert app.conf.task_always_eager is False
    assert app.broker.queues() == []
    app.close()


def test_the_inline_mode_that_propagates():
    app = App("tasks")

    @app.task
    def fail():
        raise ValueError("boom")

    with inline(app, propagates=True), pytest.raises(ValueError, match="boom"):
        fail.delay()
