"""Tasks through a real worker: results, states, failures, retries, in each pool."""

import pytest

from penstock import TaskFailed
from penstock.errors import NotRegistered
from workers import wait_for

POOLS = ["prefork", "threads", "asyncio", "solo"]


@pytest.mark.parametrize("pool", POOLS)
def test_the_tutorial(bench, pool):
    tasks = bench.tasks()
    worker = bench.worker("-P", pool, "-c", "2")
    result = tasks.add.delay(4, 4)
    assert result.get(timeout=20) == 8
    assert result.ready()
    assert result.state == "SUCCESS"
    worker.line(rf"Received task: tasks\.add\[{result.id}\]")
    worker.line(rf"Task tasks\.add\[{result.id}\] succeeded in [\d.]+s: 8")
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", POOLS)
def test_failures_retries_states_and_coroutines(bench, pool):
    tasks = bench.tasks("""
        @app.task
        def fail():
            raise ValueError("boom", 3)

        class Own(Exception):
            pass

        @app.task
        def fail_own():
            raise Own("mine")

        @app.task(bind=True, max_retries=2)
        def flaky(self):
            if self.request.retries < 2:
                raise self.retry(countdown=0)
            return self.request.retries

        @app.task(autoretry_for=(KeyError,), retry_backoff=0.001, max_retries=1)
        def always():
            raise KeyError("k")

        @app.task
        async def later(x):
            import asyncio
            await asyncio.sleep(0)
            return x * 2

        @app.task
        def leave():
            raise SystemExit(3)

        @app.task
        def odd():
            return object()

        @app.task
        def child():
            return add.delay(1, 2).id
    """)
    bench.worker("-P", pool, "-c", "2")
    failed = tasks.fail.delay()
    with pytest.raises(ValueError, match="boom") as raised:
        failed.get(timeout=20)
    assert raised.value.args == ("boom", 3)
    assert failed.state == "FAILURE"
    assert "raise ValueError" in failed.traceback
    assert tasks.flaky.delay().get(timeout=20) == 2
    with pytest.raises(KeyError):
        tasks.always.delay().get(timeout=20)
    assert tasks.later.delay(21).get(timeout=20) == 42
    with pytest.raises(TaskFailed, match="SystemExit"):  # which must not end the client
        tasks.leave.delay().get(timeout=20)
    with pytest.raises(Exception, match="object"):
        tasks.odd.delay().get(timeout=20)
    child = tasks.child.delay().get(timeout=20)
    assert bench.app.AsyncResult(child).get(timeout=20) == 3


def test_an_exception_of_the_app_comes_back_by_name_where_it_is_not_known(bench):
    tasks = bench.tasks("""
        @app.task
        def fail():
            class Hidden(Exception):
                pass
            raise Hidden("mine")
    """)
    bench.worker("-c", "1")
    with pytest.raises(TaskFailed, match="Hidden") as raised:
        tasks.fail.delay().get(timeout=20)
    assert raised.value.args == ("mine",)


def test_progress_and_started_are_seen_while_it_runs(bench):
    tasks = bench.tasks("""
        @app.task(bind=True, track_started=True)
        def slow(self):
            until("first")
            self.update_state(state="PROGRESS", meta={"done": 3})
            until("second")
            return "finished"
    """)
    first, second = bench.gate("first"), bench.gate("second")
    worker = bench.worker("-c", "1")
    result = tasks.slow.delay()
    wait_for(lambda: result.state == "STARTED")
    assert result.result["pid"] in worker.executors()
    first()
    wait_for(lambda: result.state == "PROGRESS")
    assert result.result == {"done": 3}
    second()
    assert result.get(timeout=20) == "finished"


def test_an_unknown_task_is_kept_aside_and_its_client_is_told(bench):
    bench.tasks()
    worker = bench.worker("-c", "1")
    result = bench.app.send_task("tasks.nowhere", (1,))
    with pytest.raises(NotRegistered):
        result.get(timeout=20)
    worker.line("is a dead letter: no task is registered as 'tasks.nowhere'")
    (letter,) = bench.app.broker.dead()
    assert letter.message.id == result.id
    assert "tasks.nowhere" in letter.reason


def test_reject_keeps_aside_and_ignore_stores_nothing(bench):
    tasks = bench.tasks("""
        @app.task
        def refuse():
            raise Reject("not for me")

        @app.task
        def pass_by():
            note("passed")
            raise Ignore()
    """)
    worker = bench.worker("-c", "1")
    refused = tasks.refuse.delay()
    ignored = tasks.pass_by.delay()
    bench.noted("passed")
    worker.line("ignored")
    (letter,) = bench.app.broker.dead()
    assert letter.message.id == refused.id
    assert "not for me" in letter.reason
    assert ignored.state == "PENDING"


def test_several_queues_are_served_and_none_starves(bench):
    tasks = bench.tasks("""
        @app.task
        def where(name):
            note(name)
    """)
    tasks.where.send_many([("a",)] * 300, queue="a")
    tasks.where.send_many([("b",)] * 3, queue="b")
    last = tasks.where.apply_async(("b",), queue="b")
    bench.worker("-c", "1", "-Q", "a,b")
    last.get(timeout=20)
    assert bench.journal().count("a") < 300


def test_executors_differ_and_are_replaced_after_their_share(bench):
    tasks = bench.tasks("""
        import random

        @app.task
        def draw():
            return os.getpid(), random.random()
    """)
    bench.worker("-c", "2", "--max-tasks-per-child", "5")
    drawn = [result.get(timeout=20) for result in tasks.draw.send_many([()] * 40)]
    pids = [pid for pid, _ in drawn]
    assert all(pids.count(pid) <= 5 for pid in pids)
    assert len({number for _, number in drawn}) == 40


def test_log_records_name_their_task(bench):
    tasks = bench.tasks("""
        import logging
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("own %(task_id)s %(task_name)s %(message)s"))
        logging.getLogger("shop").addHandler(handler)
        logging.getLogger("shop").setLevel("INFO")

        @app.task
        def tell():
            logging.getLogger("shop").info("hello")
            return logging.getLogger().handlers == [] and logging.getLogger().level
    """)
    worker = bench.worker("-c", "1")
    result = tasks.tell.delay()
    assert result.get(timeout=20) == 30
    worker.line(f"own {result.id} tasks.tell hello")


def test_hooks_run_in_the_executors(bench):
    bench.tasks("""
        @app.executor_started
        def up():
            note(f"up {os.getpid()}")

        @app.executor_stopping
        def down():
            note(f"down {os.getpid()}")
    """)
    worker = bench.worker("-c", "2")
    bench.app.send_task("tasks.add", (1, 1)).get(timeout=20)
    executors = worker.executors()
    assert worker.stop() == 0
    assert sorted(bench.journal()) == sorted(
        f"{what} {pid}" for what in ("up", "down") for pid in executors
    )


def test_acknowledged_early_means_at_most_once(bench):
    tasks = bench.tasks("""
        @app.task(acks_late=False)
        def once():
            note("ran")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    bench.worker("-c", "1")
    with pytest.raises(Exception, match="died"):
        tasks.once.delay().get(timeout=20)
    assert bench.journal() == ["ran"]
    assert bench.app.broker.depth("celery") == 0


def test_rate_limits_space_the_runs(bench):
    tasks = bench.tasks("""
        @app.task(rate_limit="20/s")
        def slow():
            return time.monotonic()
    """)
    bench.worker("-c", "2")
    times = sorted(result.get(timeout=20) for result in tasks.slow.send_many([()] * 6))
    assert times[-1] - times[0] >= 5 / 20 * 0.9


def test_expired_and_revoked_tasks_do_not_run(bench):
    from penstock import TaskRevokedError

    tasks = bench.tasks("""
        @app.task
        def run(name):
            note(name)
    """)
    expired = tasks.run.apply_async(("expired",), expires=-1)
    revoked = tasks.run.apply_async(("revoked",))
    revoked.revoke()
    bench.worker("-c", "1")
    for result, why in ((expired, "expired"), (revoked, "revoked")):
        with pytest.raises(TaskRevokedError, match=why):
            result.get(timeout=20)
        assert result.state == "REVOKED"
    assert bench.journal() == []
