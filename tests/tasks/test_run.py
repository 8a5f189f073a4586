"""One run, from a call to its outcome."""

import asyncio
import threading
from contextlib import contextmanager

import pytest

from penstock import (
    App,
    Ignore,
    MaxRetriesExceededError,
    NotRegistered,
    Reject,
    Retry,
    SoftTimeLimitExceeded,
)
from penstock.clock import ManualClock
from penstock.tasks.frame import Delivery
from penstock.tasks.outcome import Failed, Ignored, Rejected, Retrying, Succeeded
from penstock.tasks.run import arun_call, run_call
from penstock.wire.task import Call

NOW = 1_800_000_000.0


@pytest.fixture
def app():
    return App("tasks", broker="memory://", clock=ManualClock(NOW))


def run(app, task, *args, **more):
    return run_call(app, Call(task=task.name, id="i", args=args, kwargs={}, **more))


async def arun(app, task, *args):
    return await arun_call(app, Call(task=task.name, id="i", args=args, kwargs={}))


def test_a_function_that_returns(app):
    @app.task
    def add(x, y):
        return x + y

    outcome = run(app, add, 2, 3)
    assert isinstance(outcome, Succeeded)
    assert outcome.value == 5
    assert outcome.runtime >= 0.0


def test_a_coroutine_function(app):
    @app.task(bind=True)
    async def add(self, x):
        await asyncio.sleep(0)
        return x, self.request.id

    assert run(app, add, 2).value == (2, "i")
    assert asyncio.run(arun(app, add, 2)).value == (2, "i")


def test_coroutines_run_on_the_loop_that_is_handed_in(app):
    @app.task
    async def loop():
        return id(asyncio.get_running_loop())

    call = Call(task=loop.name, id="i", args=(), kwargs={})
    with asyncio.Runner() as runner:
        outcomes = [run_call(app, call, runner=runner.run) for _ in range(2)]
        assert {outcome.value for outcome in outcomes} == {id(runner.get_loop())}


def test_a_function_on_a_loop_runs_on_a_thread(app):
    @app.task(bind=True)
    def where(self):
        return threading.current_thread() is threading.main_thread(), self.request.id

    assert asyncio.run(arun(app, where)).value == (False, "i")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("boom"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        MemoryError(),
        asyncio.CancelledError(),
        SoftTimeLimitExceeded(),
        BaseException("rare"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_task_raises_is_a_failure(app, error):
    @app.task
    def fail():
        raise error

    @app.task
    async def afail():
        raise error

    for outcome in (run(app, fail), run(app, afail), asyncio.run(arun(app, afail))):
        assert isinstance(outcome, Failed)
        assert outcome.error is error


def test_a_run_that_is_cancelled_from_outside_is_no_failure(app):
    started = asyncio.Event()

    @app.task
    async def forever():
        started.set()
        await asyncio.Event().wait()

    async def main():
        running = asyncio.create_task(arun(app, forever))
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())


def test_a_traceback_shows_the_task_s_code_only(app):
    def deeper():
        raise ValueError("boom")

    @app.task(bind=True)
    def fail(self):
        deeper()

    text = run(app, fail).traceback
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: boom\n")
    assert "deeper()" in text
    assert "penstock/tasks" not in text


def test_an_exception_that_cannot_be_shown_is_a_failure_all_the_same(app):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    @app.task
    def fail():
        raise Mute

    outcome = run(app, fail)
    assert isinstance(outcome.error, Mute)
    assert "Mute" in outcome.traceback


def test_arguments_that_do_not_fit_are_a_failure(app):
    @app.task
    def add(x, y):
        return x + y

    outcome = run(app, add, 1)
    assert isinstance(outcome.error, TypeError)


def test_an_unknown_task(app):
    with pytest.raises(NotRegistered):
        run_call(app, Call(task="tasks.nobody", id="i", args=(), kwargs={}))


def test_the_guard_is_entered_around_the_function_alone(app):
    steps = []

    @contextmanager
    def guard():
        steps.append("armed")
        try:
            yield
        finally:
            steps.append("disarmed")

    @app.task
    def work():
        steps.append("run")
        raise ValueError

    call = Call(task=work.name, id="i", args=(), kwargs={})
    run_call(app, call, guard=guard)
    assert steps == ["armed", "run", "disarmed"]


# --- signals -------------------------------------------------------------------------------


def test_ignore(app):
    @app.task
    def skip():
        raise Ignore

    assert isinstance(run(app, skip), Ignored)


@pytest.mark.parametrize("requeue", [True, False])
def test_reject(app, requeue):
    @app.task
    def refuse():
        raise Reject("not mine", requeue=requeue)

    outcome = run(app, refuse)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.requeue) == ("not mine", requeue)


# --- retries -------------------------------------------------------------------------------


def test_retry_ends_the_run(app):
    @app.task(bind=True)
    def work(self):
        self.retry(exc=OSError("down"), countdown=5, queue="slow", priority="high")
        raise AssertionError("not reached")

    outcome = run(app, work)
    assert isinstance(outcome, Retrying)
    assert outcome.at == outcome.call.eta == NOW + 5
    assert (outcome.call.id, outcome.call.retries) == ("i", 1)
    assert (outcome.queue, outcome.priority) == ("slow", 9)
    assert isinstance(outcome.error, OSError)


def test_retry_in_a_coroutine(app):
    @app.task(bind=True)
    async def work(self):
        raise self.retry(countdown=5)

    assert isinstance(run(app, work), Retrying)


def test_retry_with_other_arguments(app):
    @app.task(bind=True, default_retry_delay=7)
    def work(self, x):
        raise self.retry((x + 1,))

    outcome = run(app, work, 1)
    assert outcome.call.args == (2,)
    assert outcome.at == NOW + 7


def test_retry_that_is_not_thrown_happens_when_the_run_ends(app):
    @app.task(bind=True)
    def work(self):
        assert isinstance(self.retry(throw=False), Retry)
        return "something"

    assert isinstance(run(app, work), Retrying)


def test_a_bare_retry(app):
    @app.task(default_retry_delay=3)
    def work():
        raise Retry

    assert run(app, work).at == NOW + 3
    assert isinstance(run(app, work, retries=3).error, MaxRetriesExceededError)


def test_too_many_retries_without_a_cause(app):
    @app.task(bind=True, max_retries=2)
    def work(self):
        self.retry()

    outcome = run(app, work, retries=2)
    assert isinstance(outcome.error, MaxRetriesExceededError)
    assert work.name in str(outcome.error)


def test_too_many_retries_with_a_cause_raise_the_cause(app):
    cause = OSError("down")

    @app.task(bind=True, max_retries=0)
    def work(self):
        self.retry(exc=cause)

    assert run(app, work).error is cause


def test_autoretry(app):
    @app.task(autoretry_for=(OSError,), retry_backoff=True, retry_jitter=False, max_retries=4)
    def work():
        raise ConnectionError("down")

    outcome = run(app, work, retries=3)
    assert isinstance(outcome, Retrying)
    assert outcome.at == NOW + 8
    last = run(app, work, retries=4)
    assert isinstance(last, Failed)
    assert isinstance(last.error, ConnectionError)


def test_called_as_a_function_nothing_is_retried(app):
    @app.task(bind=True)
    def work(self, error=None):
        assert self.request.called_directly
        self.retry(exc=error)

    with pytest.raises(Retry):
        work()
    with pytest.raises(KeyError):
        work(KeyError("x"))


# --- the request ---------------------------------------------------------------------------


def test_the_request_tells_of_the_run(app):
    @app.task(bind=True)
    def look(self, x):
        return self.request

    call = Call(
        task=look.name,
        id="i",
        args=(1,),
        kwargs={},
        retries=2,
        eta=NOW,
        root_id="r",
        parent_id="p",
        headers={"tenant": "acme"},
    )
    delivery = Delivery(queue="q", priority=4, attempt=2, hostname="w@h")
    request = run_call(app, call, delivery=delivery).value
    assert (request.id, request.task, request.args) == ("i", look.name, (1,))
    assert (request.retries, request.attempt, request.hostname) == (2, 2, "w@h")
    assert (request.root_id, request.parent_id) == ("r", "p")
    assert request.eta.timestamp() == NOW
    assert request.delivery_info["routing_key"] == "q"
    assert request.delivery_info["redelivered"] is True
    assert request.tenant == "acme"
    assert request.called_directly is False
    with pytest.raises(AttributeError, match="no_such"):
        _ = request.no_such


def test_outside_of_runs_the_request_is_empty(app):
    @app.task
    def work():
        return None

    assert work.request.id is None
    assert work.request.called_directly
