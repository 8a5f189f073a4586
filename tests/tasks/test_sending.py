"""What reaches the broker, and what the caller gets."""

import asyncio
import logging

import pytest

from penstock import App, AsyncResult, ConfigError, EncodeError, Unavailable, Uncertain
from penstock.testing.tasks import manual


@pytest.fixture
def app():
    return App("tasks")


@pytest.fixture
def add(app):
    @app.task(name="tasks.add")
    def add(x, y=1):
        return x + y

    return add


@pytest.fixture
def box(app):
    with manual(app) as box:
        yield box


def test_delay(add, box):
    result = add.delay(4, y=4)
    assert isinstance(result, AsyncResult)
    (call,) = box.enqueued(add)
    assert (call.id, list(call.args), call.kwargs) == (result.id, [4], {"y": 4})
    assert call.ignore_result is False
    assert call.origin.startswith("gen")


def test_calling_runs_the_function_here(add, box):
    assert add(1, 2) == 3
    assert box.enqueued() == []


def test_awaiting_callers(add, box):
    async def main():
        await add.adelay(1)
        await add.aapply_async((2,), countdown=5)
        await add.asend_many([(3,), {"x": 4}])

    asyncio.run(main())
    assert len(box.enqueued(add)) == 4


def test_send_many_gives_results_in_order(add, box):
    results = add.send_many([(1,), [2, 3], {"x": 4, "y": 5}])
    box.drain()
    assert [result.get(timeout=0) for result in results] == [2, 5, 9]


@pytest.mark.parametrize("calls", [[(1,), ()], [(1,), "ab"]])
def test_send_many_sends_nothing_when_one_call_is_wrong(add, box, calls):
    with pytest.raises((TypeError, ConfigError)):
        add.send_many(calls)
    assert box.enqueued() == []


def test_many_calls_do_not_share_an_id(add, box):
    with pytest.raises(ConfigError, match="task_id"):
        add.send_many([(1,), (2,)], task_id="one")


def test_wrong_arguments_are_the_caller_s_error(add, box):
    with pytest.raises(TypeError, match=r"tasks\.add\(\)"):
        add.delay()
    with pytest.raises(TypeError, match="'z'"):
        add.delay(1, z=3)
    assert box.enqueued() == []


def test_typing_false_leaves_the_arguments_to_the_worker(app, box):
    @app.task(typing=False)
    def anything(x):
        return x

    anything.delay(1, 2, 3)
    (outcome,) = box.drain()
    assert isinstance(outcome.error, TypeError)


def test_text_is_no_list_of_arguments(add, box):
    with pytest.raises(EncodeError, match="is text"):
        add.apply_async("ab")
    assert box.enqueued() == []


def test_sending_nothing_sends_nothing(add, box):
    assert add.send_many([]) == []
    assert box.broker.queues() == []


def test_arguments_without_a_form_send_nothing(add, box):
    with pytest.raises(EncodeError):
        add.delay(object())
    assert box.enqueued() == []


def test_send_task_by_name(app, add, box):
    app.send_task("tasks.add", (1,), countdown=3)
    app.send_task("elsewhere.pay", kwargs={"order": 7}, queue="shop")
    asyncio.run(app.asend_task("elsewhere.pay"))
    assert [call.task for call in box.enqueued()].count("elsewhere.pay") == 2


# --- routes --------------------------------------------------------------------------------


def queue_of(box, result):
    return next(
        state.name
        for state in box.broker.queues()
        for message in box.broker.peek(state.name, 100)
        if message.id == result.id
    )


def test_the_queue_is_the_call_s_then_the_task_s_then_the_route_s(app, box):
    app.conf.update(
        task_routes={"shop.*": "shop", "shop.pay": {"queue": "money", "priority": 3}},
        task_default_queue="rest",
    )

    def function():
        return None

    pay, ship = app.task(name="shop.pay")(function), app.task(name="shop.ship")(function)
    own = app.task(name="shop.own", queue="own")(function)
    other = app.task(name="other")(function)
    assert queue_of(box, pay.delay()) == "money"
    assert queue_of(box, ship.delay()) == "shop"
    assert queue_of(box, own.delay()) == "own"
    assert queue_of(box, own.apply_async(queue="call")) == "call"
    assert queue_of(box, other.delay()) == "rest"
    assert box.broker.peek("money")[0].priority == 3


def test_a_setting_that_changes_changes_the_next_call(app, add, box):
    assert queue_of(box, add.delay(1)) == "celery"
    app.conf.task_default_queue = "later"
    assert queue_of(box, add.delay(1)) == "later"


def test_a_route_that_cannot_be(app, add, box):
    app.conf.task_routes = {"tasks.add": {"que": "x"}}
    with pytest.raises(ConfigError, match="task_routes"):
        add.delay(1)


# --- a broker that is down -----------------------------------------------------------------


def test_a_send_that_fails_half_way_names_what_is_stored(app, add, box, monkeypatch):
    def publish(messages):
        raise Uncertain("cut off", stored=(messages[0].id,))

    monkeypatch.setattr(box.broker, "publish", publish)
    app.conf.publish_timeout = 0.0
    with pytest.raises(Uncertain) as info:
        add.send_many([(1,), (2,)])
    assert len(info.value.stored) == 1


def test_a_broker_that_is_down_is_an_error(app, add, box, monkeypatch):
    def publish(messages):
        raise Unavailable("down")

    monkeypatch.setattr(box.broker, "publish", publish)
    app.conf.publish_timeout = 0.0
    with pytest.raises(Unavailable, match="nothing was sent"):
        add.delay(1)


# --- the hint ------------------------------------------------------------------------------


def test_the_first_call_hints_when_no_worker_runs(caplog):
    app = App("shop", broker="memory://hint")

    @app.task
    def work():
        return None

    with caplog.at_level(logging.WARNING, logger="penstock"):
        work.delay()
        work.delay()
    assert [record.name for record in caplog.records] == ["penstock"]
    assert "penstock -A shop worker" in caplog.text
    app.close()


def test_there_is_no_hint_when_a_worker_runs(caplog):
    app = App("shop", broker="memory://worker")
    app.broker.enrol("w@h", {})

    @app.task
    def work():
        return None

    with caplog.at_level(logging.WARNING, logger="penstock"):
        work.delay()
    assert caplog.records == []
    app.close()
