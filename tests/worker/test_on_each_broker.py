"""What keeps a fleet healthy, on each broker and in each pool: limits, revoking, draining."""

import os
import time

import pytest

from penstock import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from penstock.errors import Uncertain, WorkerLostError
from storm_sites import site
from workers import wait_for

POOLS = ["prefork", "threads", "asyncio"]


# ZooKeeper, too, in `make faults`.
BROKERS = ["sqlite", "redis", "postgres", "rabbitmq"]
BROKERS += ["zookeeper"] * (os.environ.get("FAULTS") == "full")


@pytest.fixture(scope="module", params=BROKERS)
def place(request, tmp_path_factory):
    """A broker with a server of its own, for all tests here."""
    with site(request.param, tmp_path_factory.mktemp(request.param)) as place:
        yield place


@pytest.fixture
def bench(bench, place, monkeypatch):
    monkeypatch.setenv("PENSTOCK_BROKER_URL", place.url)
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", place.backend or place.url)
    return bench


@pytest.mark.parametrize("pool", POOLS)
def test_limits_and_termination_end_a_task_and_nothing_else(bench, pool):
    tasks = bench.tasks(f"""
        import asyncio
        app.conf.task_default_queue = "limits-{pool}"

        @app.task(soft_time_limit=0.2)
        async def soft():
            note("soft")
            await asyncio.sleep(1000)

        @app.task(time_limit=0.3)
        def hard():
            note("hard")
            while True:
                pass

        @app.task
        async def stay():
            note("stay")
            await asyncio.sleep(1000)

        @app.task
        def poison():
            note("poison")
            os._exit(1)
    """)
    worker = bench.worker("-P", pool, "-c", "2")
    with pytest.raises(SoftTimeLimitExceeded):
        tasks.soft.delay().get(timeout=20)
    with pytest.raises(TimeLimitExceeded):
        tasks.hard.delay().get(timeout=20)
    stays = tasks.stay.delay()
    bench.noted("stay")
    stays.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        stays.get(timeout=20)
    with pytest.raises(WorkerLostError):
        tasks.poison.delay().get(timeout=20)
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    before, poisoned = bench.journal()[:3], bench.journal()[3:]
    assert before == ["soft", "hard", "stay"]
    assert set(poisoned) == {"poison"}
    # The death of an executor that was given up on is held against none of those in it.
    given_up = 0 if pool == "prefork" else 2
    assert 3 <= len(poisoned) <= 3 + given_up
    assert worker.stop() == 0


def test_a_delayed_task_stays_revoked_through_kills_of_worker_and_server(bench, place):
    tasks = bench.tasks("""
        app.conf.task_default_queue = "delayed"

        @app.task
        def run(name):
            note(name)
    """)
    first = bench.worker("-c", "1", "-n", "first")
    # On a RabbitMQ that never had one, the sender of a delayed message waits until its way is ripe.
    countdown = 6.0 if place.name == "rabbitmq" else 2.0
    revoked = tasks.run.apply_async(("revoked",), countdown=countdown)
    revoked.revoke()
    first.kill()
    if place.name in {"redis", "postgres"}:  # RabbitMQ takes longer for that than all else here
        place.server.kill()
        place.server.start()
    bench.worker("-c", "1", "-n", "second")
    after = wait_for(lambda: sent(tasks.run, "after", eta=time.time() + 2.0))
    after.get(timeout=30)
    with pytest.raises(TaskRevokedError):
        revoked.get(timeout=5)
    assert set(bench.journal()) == {"after"}


def sent(task, *arguments, **options):
    """The result of a call; None where the line turned out to be broken just then."""
    try:
        return task.apply_async(arguments, **options)
    except Uncertain:  # it may be there twice
        return None


@pytest.mark.parametrize("pool", POOLS)
def test_a_busy_worker_drains_until_its_deadline_and_hands_back_the_rest(bench, pool):
    tasks = bench.tasks(f"""
        app.conf.task_default_queue = "drained-{pool}"

        @app.task
        def brief(number):
            note(f"brief {{number}}")
            time.sleep(0.01)

        @app.task
        def endless():
            note("endless")
            while not Path("open").exists():
                time.sleep(0.01)
    """)
    first = bench.worker("-P", pool, "-c", "3", "--shutdown-timeout", "1", "-n", "first")
    long = tasks.endless.delay()
    bench.noted("endless")
    results = tasks.brief.send_many([(number,) for number in range(300)])
    bench.noted("brief 20$")
    began = time.monotonic()
    assert first.stop() == 1
    assert 1.0 < time.monotonic() - began < 4.0
    done = len(bench.journal())
    assert done < 250  # it did not go on with what it had not begun
    (bench.folder / "open").touch()
    bench.worker("-P", pool, "-c", "3", "-n", "second")
    long.get(timeout=20)
    for result in results:
        result.get(timeout=20)
    wait_for(lambda: len(bench.journal()) == 302)
    assert sorted(set(bench.journal())) == sorted(
        ["endless", *(f"brief {number}" for number in range(300))]
    )
