"""Executors, zygotes and whole workers that die: nothing is lost, causes are told apart."""

import os
import signal
import time

import pytest

from penstock.errors import WorkerLostError
from workers import alive, await_gone, wait_for


def test_a_task_whose_executor_dies_runs_again_and_stops_at_the_limit(bench):
    tasks = bench.tasks("""
        @app.task
        def poison():
            note("ran")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    bench.worker("-c", "2")
    result = tasks.poison.delay()
    after = tasks.add.delay(1, 1)
    with pytest.raises(WorkerLostError, match="died 3 times"):
        result.get(timeout=20)
    assert after.get(timeout=20) == 2
    assert bench.journal() == ["ran"] * 3
    (letter,) = bench.app.broker.dead()
    assert letter.message.id == result.id
    assert "SIGKILL" in letter.reason


@pytest.mark.parametrize("end", ["os._exit(7)", "os.abort()", "os.kill(os.getpid(), 11)"])
def test_every_sudden_end_is_a_crash(bench, end):
    tasks = bench.tasks(f"""
        @app.task
        def end():
            {end}
    """)
    bench.worker("-c", "1")
    with pytest.raises(WorkerLostError):
        tasks.end.delay().get(timeout=30)


def test_what_was_handed_over_but_not_begun_is_not_counted(bench):
    tasks = bench.tasks("""
        @app.task
        def quick():
            pass

        @app.task
        def stay(number):
            note(f"stay {number} {os.getpid()}")
            until("gate")
    """)
    bench.gate()
    bench.worker("-c", "1")
    for result in tasks.quick.send_many([()] * 100):  # measured as short: held ahead from now on
        result.get(timeout=20)
    stays = tasks.stay.send_many([(number,) for number in range(3)])
    pid = int(bench.noted(r"stay 0 (\d+)").group(1))
    for _ in range(2):
        count = len(bench.journal())  # before: the next may begin before this one is reaped
        os.kill(pid, signal.SIGKILL)
        await_gone(pid, within=5)
        wait_for(lambda count=count: len(bench.journal()) > count)
        pid = int(bench.journal()[-1].split()[-1])
    assert all(line.startswith("stay 0 ") for line in bench.journal())
    assert all(result.state == "PENDING" for result in stays)


def test_tasks_of_a_shared_executor_are_not_blamed_for_each_other(bench):
    tasks = bench.tasks("""
        @app.task
        def innocent(number):
            note(f"innocent {number}")
            if not Path("open").exists():
                until("gate")
            return number

        @app.task
        def poison():
            note("poison")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    bench.gate()
    bench.worker("-P", "threads", "-c", "4")
    innocents = [tasks.innocent.delay(number) for number in range(3)]
    for number in range(3):
        bench.noted(f"innocent {number}")
    (bench.folder / "open").touch()
    poison = tasks.poison.delay()
    assert [result.get(timeout=20) for result in innocents] == [0, 1, 2]
    with pytest.raises(WorkerLostError):
        poison.get(timeout=20)
    assert bench.journal().count("poison") == 4  # once beside others, then three times alone


def test_when_the_supervisor_dies_nobody_stays_and_others_take_over(bench):
    tasks = bench.tasks("""
        @app.task
        def stay():
            child = subprocess.Popen(["sleep", "1000"])
            note(f"{os.getpid()} {child.pid}")
            if len(Path("journal").read_text().splitlines()) == 1:
                until("gate")
            child.kill()
            child.wait()
            return "done"
    """)
    bench.gate()
    first = bench.worker("-c", "1", "-n", "first")
    result = tasks.stay.delay()
    executor, grandchild = map(int, bench.noted(r"(\d+) (\d+)").groups())
    zygote = first.zygote()
    bench.worker("-c", "1", "-n", "second")
    killed = time.monotonic()
    first.kill()
    await_gone(zygote, executor, grandchild, within=1.0)
    assert result.get(timeout=20) == "done"
    assert time.monotonic() - killed < 2.0
    assert len(bench.journal()) == 2


def test_a_new_worker_takes_over_at_once_what_a_dead_one_held(bench):
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("ran")
            if len(Path("journal").read_text().splitlines()) == 1:
                until("gate")
            return "done"
    """)
    bench.gate()
    first = bench.worker("-c", "1", "-n", "w")
    result = tasks.stay.delay()
    bench.noted("ran")
    first.kill()
    bench.worker("-c", "1", "-n", "w")  # the name of a dead one is free
    assert result.get(timeout=3) == "done"


def test_a_task_that_kills_the_zygote_is_seen_to(bench):
    tasks = bench.tasks("""
        @app.task
        def patricide():
            note("ran")
            if len(Path("journal").read_text().splitlines()) == 1:
                os.kill(os.getppid(), signal.SIGKILL)
                until("gate")
            return "done"
    """)
    bench.gate()
    worker = bench.worker("-c", "1")
    pid = worker.pid
    result = tasks.patricide.delay()
    assert result.get(timeout=20) == "done"
    assert alive(pid)
    assert worker.process.poll() is None


def test_a_task_that_starts_threads_and_closes_everything_harms_nobody(bench):
    tasks = bench.tasks("""
        @app.task
        def vandal():
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
            os.chdir("/")
            os.umask(0)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.closerange(0, 1000)
    """)
    bench.worker("-c", "1")
    with pytest.raises(WorkerLostError):
        tasks.vandal.delay().get(timeout=30)
    assert tasks.add.delay(1, 1).get(timeout=20) == 2


def test_tasks_behind_a_long_one_are_run_by_the_other_executor(bench):
    tasks = bench.tasks("""
        @app.task
        def quick():
            pass

        @app.task
        def stay():
            note("began")
            until("gate")
    """)
    open_gate = bench.gate()
    bench.worker("-c", "2")
    for result in tasks.quick.send_many([()] * 200):
        result.get(timeout=20)
    stay = tasks.stay.delay()
    bench.noted("began")
    began = time.monotonic()
    for result in tasks.quick.send_many([()] * 100):
        result.get(timeout=20)
    assert time.monotonic() - began < 2.0
    open_gate()
    stay.get(timeout=20)


def test_what_waits_behind_a_long_task_is_handed_back_once_and_left_to_others(bench):
    tasks = bench.tasks("""
        @app.task
        def quick():
            pass

        @app.task(bind=True)
        def attempts(self):
            return self.request.attempt

        @app.task
        def stay():
            note("began")
            until("gate")
    """)
    open_gate = bench.gate()
    bench.worker("-c", "1")
    for result in tasks.quick.send_many([()] * 200):
        result.get(timeout=20)
    tasks.stay.delay()
    bench.noted("began")
    waiting = tasks.attempts.send_many([()] * 20)
    listener = bench.app.broker.listen(["celery"])
    while listener.wait(1.5):  # until nothing has moved for a while
        pass
    listener.close()
    open_gate()
    assert max(result.get(timeout=20) for result in waiting) <= 3


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_what_lay_in_a_stopped_workers_channel_does_not_begin_after_its_lease(bench, pool):
    """The executor wakes before its supervisor: it must know by itself that it is too late."""
    tasks = bench.tasks("""
        app.conf.lease_time = 1.0

        @app.task
        def run(name):
            note(f"{name} {os.getppid()}")
    """)
    first = bench.worker("-c", "1", "-P", pool, "-n", "first")
    ((executor,), zygote) = first.staffed(1), first.zygote()
    assert tasks.add.delay(1, 1).get(timeout=20) == 2  # it takes tasks
    os.kill(executor, signal.SIGSTOP)
    late = tasks.run.delay("late")
    first.line(r"Received task: tasks\.run")
    for pid in (first.pid, zygote):
        os.kill(pid, signal.SIGSTOP)
    second = bench.worker("-c", "1", "-n", "second")
    late.get(timeout=20)
    journal = [f"late {second.zygote()}"]
    assert second.stop() == 0
    os.kill(executor, signal.SIGCONT)
    next_one = tasks.run.delay("next")
    for pid in (zygote, first.pid):
        os.kill(pid, signal.SIGCONT)
    next_one.get(timeout=20)
    assert bench.journal() == [*journal, f"next {zygote}"]
