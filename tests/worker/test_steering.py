"""Workers on a file are asked and told while they run."""

import os
import signal

import pytest

from penstock import TaskRevokedError
from workers import await_gone, wait_for

HOLD = """
    @app.task
    def hold(gate):
        note(f"began {gate}")
        until(gate)
        return gate
"""


def one(replies):
    """The answer of the only worker."""
    ((answer,),) = [reply.values() for reply in replies]
    return answer


@pytest.fixture
def asked(bench):
    """A function that asks the only worker."""
    return lambda method, **arguments: one(
        bench.app.control.broadcast(method, arguments, reply=True, timeout=20.0)
    )


def test_what_runs_and_what_waits_is_told_apart(bench, asked):
    tasks = bench.tasks(HOLD)
    open_gate = bench.gate("one")
    bench.worker("-c", "1")
    first = tasks.hold.delay("one")
    bench.noted("began one")
    (running,) = asked("active")
    assert (running["id"], running["args"]) == (first.id, ["one"])
    second = tasks.hold.apply_async(("two",), countdown=300)
    (later,) = wait_for(lambda: asked("scheduled"), what="a task that waits")
    assert later["request"]["id"] == second.id
    assert asked("stats")["total"] == {}
    open_gate()
    assert first.get(timeout=20) == "one"
    assert asked("stats")["total"] == {"tasks.hold": 1}


def test_a_pool_grows_and_shrinks_without_hurting_what_runs(bench, asked):
    tasks = bench.tasks(HOLD)
    gates = {name: bench.gate(name) for name in ("one", "two", "three")}
    worker = bench.worker("-c", "1")
    results = [tasks.hold.delay(name) for name in gates]
    assert asked("pool_grow", n=2) == {"ok": "pool will grow"}
    for name in gates:
        bench.noted(f"began {name}")  # all three run at once
    assert asked("pool_shrink", n=2) == {"ok": "pool will shrink"}
    assert "one must be left" in asked("pool_shrink", n=1)["error"]
    for open_gate in gates.values():
        open_gate()
    assert [result.get(timeout=20) for result in results] == ["one", "two", "three"]
    wait_for(lambda: len(worker.executors()) == 1, what="a smaller pool")
    assert tasks.add.delay(1, 2).get(timeout=20) == 3


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio", "solo"])
def test_every_pool_answers_changes_its_queues_and_is_shut_down(bench, asked, pool):
    tasks = bench.tasks()
    worker = bench.worker("-c", "2", "-P", pool)
    assert tasks.add.delay(1, 2).get(timeout=20) == 3
    assert asked("ping") == {"ok": "pong"}
    assert asked("stats")["total"] == {"tasks.add": 1}
    assert asked("add_consumer", queue="other") == {"ok": "add consumer other"}
    assert tasks.add.apply_async((2, 2), queue="other").get(timeout=20) == 4
    assert asked("cancel_consumer", queue="other") == {"ok": "no longer consuming from other"}
    assert [queue["name"] for queue in asked("active_queues")] == ["celery"]
    assert asked("nothing_like_it") == {"error": "KeyError('nothing_like_it')"}
    bench.app.control.shutdown()
    assert worker.end() == 0


def test_a_task_is_terminated_by_whoever_asks_and_says_why(bench, asked):
    tasks = bench.tasks(HOLD)
    bench.gate("one")
    bench.worker("-c", "1")
    result = tasks.hold.delay("one")
    bench.noted("began one")
    answer = asked("revoke", task_id=result.id, terminate=True)
    assert answer == {"ok": f"terminate: {result.id}"}
    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=20)


def test_several_workers_answer_each_for_itself(bench):
    bench.tasks()
    for name in ("a@here", "b@here"):
        bench.worker("-c", "1", "-n", name)
    control = bench.app.control
    assert control.inspect(timeout=20).ping() == {
        "a@here": {"ok": "pong"}, "b@here": {"ok": "pong"},
    }  # fmt: skip
    assert list(control.inspect("a@here", timeout=20).ping()) == ["a@here"]
    assert list(control.inspect(pattern="b*", timeout=1).ping()) == ["b@here"]
    assert control.inspect("c@here", timeout=0.1).ping() is None


MINDS = """
    import os, signal, time

    @app.task
    def minds(code):
        def on_signal(number, _):
            note(f"minded {number}")
            if code is not None:
                os._exit(code)

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGHUP, on_signal)
        note("began")
        while True:
            time.sleep(60)

    @app.task
    def sleeps():
        note("began")
        time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_task_gets_the_signal_that_it_is_terminated_by(bench, asked, number):
    tasks = bench.tasks(MINDS)
    bench.worker("-c", "1")
    result = tasks.minds.delay(0)
    bench.noted("began")
    answer = asked("terminate", task_id=result.id, signal=number.name)
    assert answer == {"ok": f"terminate: {result.id}"}
    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=20)
    bench.noted(f"minded {number.value}")
    assert tasks.add.delay(1, 2).get(timeout=20) == 3


def test_terminate_ends_by_the_signal_who_has_no_handler_for_it_and_no_other_does(bench, asked):
    """A TERM that nobody asked for, as at a shutdown of the machine, ends no task."""
    tasks = bench.tasks(MINDS)
    worker = bench.worker("-c", "1")
    result = tasks.sleeps.delay()
    bench.noted("began")
    (executor,) = worker.executors()
    os.kill(executor, signal.SIGTERM)
    assert asked("active")[0]["id"] == result.id
    asked("revoke", task_id=result.id, terminate=True)
    await_gone(executor, within=4)  # before it would be killed
    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=20)


def test_who_does_not_heed_the_signal_is_killed(bench, asked):
    tasks = bench.tasks(MINDS)
    worker = bench.worker("-c", "1")
    result = tasks.minds.delay(None)
    bench.noted("began")
    (executor,) = worker.executors()
    asked("revoke", task_id=result.id, terminate=True)
    bench.noted("minded 15")
    assert tasks.add.delay(1, 2).get(timeout=20) == 3  # another is there meanwhile
    await_gone(executor, within=20)
    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=20)
