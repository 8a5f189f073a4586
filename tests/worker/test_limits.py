"""Time limits and termination on real workers, in each pool that has them."""

import time

import pytest

from penstock import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from workers import alive, await_gone, wait_for

POOLS = ["prefork", "threads", "asyncio"]
SHARED = ["threads", "asyncio"]


@pytest.mark.parametrize("pool", POOLS)
def test_soft_limits_are_raised_in_the_task(bench, pool):
    tasks = bench.tasks("""
        import asyncio

        @app.task(soft_time_limit=0.2)
        def spins():
            try:
                while True:
                    pass
            except BaseException as error:
                note(f"spins {type(error).__name__}")
                raise

        @app.task(soft_time_limit=0.2)
        async def waits():
            try:
                await asyncio.sleep(1000)
            except BaseException as error:
                note(f"waits {type(error).__mro__[1].__name__}")
                raise

        @app.task(soft_time_limit=0.2)
        def tidies():
            try:
                while True:
                    pass
            except SoftTimeLimitExceeded:
                return "tidied"

        from penstock import SoftTimeLimitExceeded
    """)
    worker = bench.worker("-P", pool, "-c", "2")
    executors = worker.staffed(1 if pool in SHARED else 2)
    for task in (tasks.spins, tasks.waits):
        with pytest.raises(SoftTimeLimitExceeded) as raised:
            task.delay().get(timeout=20)
        assert raised.value.args == (0.2,)
    assert tasks.tidies.delay().get(timeout=20) == "tidied"
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert bench.journal() == ["spins SoftTimeLimitExceeded", "waits SoftTimeLimitExceeded"]
    assert worker.executors() == executors


@pytest.mark.parametrize("pool", POOLS)
def test_a_soft_limit_hits_only_its_own_task(bench, pool):
    """Tasks that end just when their limit does, followed at once by others without one."""
    tasks = bench.tasks("""
        @app.task(soft_time_limit=0.002)
        def brief():
            end = time.monotonic() + 0.002
            while time.monotonic() < end:
                pass

        @app.task
        def other():
            for _ in range(1000):
                pass
            return "untouched"
    """)
    worker = bench.worker("-P", pool, "-c", "4")
    executors = worker.staffed(1 if pool in SHARED else 4)
    others = []
    for _ in range(100):
        tasks.brief.send_many([()] * 2)
        others += tasks.other.send_many([()] * 2)
    assert {result.get(timeout=30) for result in others} == {"untouched"}
    assert worker.executors() == executors


@pytest.mark.parametrize("kind", ["spins", "waits"])
@pytest.mark.parametrize("pool", POOLS)
def test_hard_limits_end_the_run_and_the_place_is_taken_at_once(bench, pool, kind):
    tasks = bench.tasks("""
        import asyncio

        @app.task(time_limit=0.3)
        def spins():
            note("began")
            while True:
                pass

        @app.task(time_limit=0.3)
        async def waits():
            note("began")
            await asyncio.sleep(1000)
    """)
    worker = bench.worker("-P", pool, "-c", "2")
    before = set(worker.staffed(1 if pool in SHARED else 2))
    result = getattr(tasks, kind).delay()
    with pytest.raises(TimeLimitExceeded) as raised:
        result.get(timeout=20)
    assert raised.value.args == (0.3,)
    assert tasks.add.delay(1, 1).get(timeout=5) == 2
    assert bench.journal() == ["began"]
    wait_for(lambda: set(worker.executors()) - before)
    if pool in SHARED:
        await_gone(*before, within=5)
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", SHARED)
@pytest.mark.parametrize("end", ["limit", "terminate"])
def test_neighbours_get_the_shutdown_timeout_and_go_back_uncounted(bench, pool, end):
    tasks = bench.tasks("""
        import asyncio

        @app.task
        async def endless(number):
            note(f"endless {number}")
            await asyncio.sleep(1000)

        @app.task(bind=True)
        async def neighbour(self):
            note(f"neighbour {self.request.attempt}")
            while not Path("enough").exists():
                await asyncio.sleep(0.01)
            return os.getpid()

        @app.task(bind=True)
        async def patient(self):
            note(f"patient {self.request.attempt}")
            while not Path("open").exists():
                await asyncio.sleep(0.01)
            return os.getpid()
    """)
    worker = bench.worker("-P", pool, "-c", "3", "--shutdown-timeout", "2.0")
    (old,) = worker.staffed(1)
    quick, slow = tasks.neighbour.delay(), tasks.patient.delay()
    limit = {"time_limit": 0.5} if end == "limit" else {}
    doomed = tasks.endless.apply_async((1,), **limit)
    bench.noted("endless")
    bench.noted("neighbour 1")
    bench.noted("patient 1")
    if end == "terminate":
        doomed.revoke(terminate=True)
    began = time.monotonic()
    with pytest.raises(TimeLimitExceeded if end == "limit" else TaskRevokedError):
        doomed.get(timeout=20)
    added = tasks.add.send_many([(1, 1)] * 6)
    assert [result.get(timeout=5) for result in added] == [2] * 6
    assert time.monotonic() - began < 1.8  # well before the neighbours' time is over
    assert alive(old)
    (bench.folder / "enough").touch()
    assert quick.get(timeout=10) == old  # within its time a neighbour ends as if nothing were
    await_gone(old, within=5)
    bench.noted("patient 2")
    (bench.folder / "open").touch()
    assert slow.get(timeout=20) != old
    assert bench.journal().count("endless 1") == 1
    assert worker.stop() == 0
    assert bench.app.broker.dead() == []


@pytest.mark.parametrize("pool", SHARED)
def test_what_is_given_up_may_say_what_it_likes(bench, pool):
    """It ends after all, between its limit and its executor's death: nobody listens."""
    tasks = bench.tasks("""
        import asyncio

        @app.task(time_limit=0.2, bind=True)
        async def late(self):
            while not Path("open").exists():
                await asyncio.sleep(0.01)
            self.update_state(state="LATE")
            note("late")
            return "late"

        @app.task
        async def neighbour():
            note("neighbour")
            while not Path("enough").exists():
                await asyncio.sleep(0.01)
            return "fine"
    """)
    worker = bench.worker("-P", pool, "-c", "2")
    neighbour, late = tasks.neighbour.delay(), tasks.late.delay()
    bench.noted("neighbour")
    with pytest.raises(TimeLimitExceeded):
        late.get(timeout=20)
    (bench.folder / "open").touch()
    bench.noted("late")
    (bench.folder / "enough").touch()
    assert neighbour.get(timeout=20) == "fine"
    assert late.state == "FAILURE"
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", POOLS)
def test_a_running_task_is_terminated(bench, pool):
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("began")
            until("gate")
    """)
    bench.gate()
    worker = bench.worker("-P", pool, "-c", "2")
    result = tasks.stay.delay()
    bench.noted("began")
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError, match=r"revoked|terminated"):
        result.get(timeout=20)
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert bench.journal() == ["began"]
    assert worker.stop() == 0


def test_a_crash_beside_a_run_that_was_given_up_is_not_its_neighbours_fault(bench):
    tasks = bench.tasks("""
        import asyncio

        @app.task(time_limit=0.2)
        def doomed():
            until("gate")
            os._exit(1)

        @app.task
        async def neighbour():
            note("neighbour")
            while not Path("enough").exists():
                await asyncio.sleep(0.01)
            return "fine"
    """)
    open_gate = bench.gate()
    bench.worker("-P", "threads", "-c", "2")
    neighbour, doomed = tasks.neighbour.delay(), tasks.doomed.delay()
    bench.noted("neighbour")
    with pytest.raises(TimeLimitExceeded):
        doomed.get(timeout=20)
    open_gate()  # it takes the process down, which still runs the neighbour
    wait_for(lambda: bench.journal().count("neighbour") == 2)
    (bench.folder / "enough").touch()
    assert neighbour.get(timeout=20) == "fine"
