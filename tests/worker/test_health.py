"""The health probe, the watchdog and --reload on real workers."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from workers import await_gone, wait_for


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    monkeypatch.setenv("PENSTOCK_RUNTIME_DIR", str(tmp_path / "run"))


def status(folder, *options):
    return subprocess.run(
        [sys.executable, "-m", "penstock", "status", "--local", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def health(folder, *options):
    return json.loads(status(folder, "--json", *options).stdout)


def stand_in(monkeypatch, folder, code):
    """Have every process that is started from now on run this first."""
    place = folder / "stand_in"
    place.mkdir()
    (place / "sitecustomize.py").write_text(textwrap.dedent(code))
    monkeypatch.setenv("PYTHONPATH", str(place))


# --- the probe ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio", "solo"])
def test_a_worker_tells_how_it_is(bench, pool):
    tasks = bench.tasks()
    worker = bench.worker("-P", pool, "-c", "2", "-n", "w1@here", "-Q", "a,celery")
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    (told,) = health(bench.folder)
    assert told["name"] == "w1@here"
    assert told["pid"] == worker.pid
    assert told["pool"] == pool
    assert told["queues"] == ["a", "celery"]
    assert told["alive"]
    assert told["broker"]
    assert told["consuming"]
    assert told["claimed"] == 1
    assert status(bench.folder).returncode == 0
    assert status(bench.folder, "w1@here").returncode == 0
    other = status(bench.folder, "w2@here")
    assert other.returncode == 1
    assert "w2@here" in other.stderr
    assert worker.stop() == 0
    assert status(bench.folder).returncode == 1
    assert list((bench.folder / "run").iterdir()) == []


def test_a_draining_worker_is_alive_and_does_not_consume(bench):
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("began")
            until("gate")
    """)
    open_gate = bench.gate()
    worker = bench.worker("-c", "1")
    tasks.stay.delay()
    bench.noted("began")
    (told,) = health(bench.folder)
    assert told["running"] == 1
    worker.process.send_signal(signal.SIGTERM)
    worker.line("Stopping")
    (told,) = health(bench.folder)
    assert told["alive"]
    assert told["stopping"]
    assert not told["consuming"]
    assert status(bench.folder, "--probe", "alive").returncode == 0
    assert status(bench.folder).returncode == 1
    open_gate()
    assert worker.end() == 0


def test_a_worker_that_waits_for_its_broker_says_so(bench):
    pytest.importorskip("redis")
    bench.tasks()
    worker = bench.worker("-b", "redis://127.0.0.1:1/0", ready=False)
    worker.line("not there yet")
    (told,) = health(bench.folder)
    assert told["alive"]
    assert not told["broker"]
    assert not told["consuming"]
    assert status(bench.folder, "--probe", "broker").returncode == 1
    assert worker.stop() == 0


def test_a_stopped_worker_is_told_as_not_alive(bench):
    bench.tasks()
    worker = bench.worker("-c", "1")
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        (told,) = health(bench.folder)
        assert told["pid"] == worker.pid
        assert not told["alive"]
        assert status(bench.folder, "--probe", "alive").returncode == 1
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    assert worker.stop() == 0


# --- the watchdog ------------------------------------------------------------------------------

NOTHING_IS_CLAIMED = """
    from pathlib import Path
    from penstock.brokers.sqlite import SqliteBroker

    lease = SqliteBroker.lease
    settle_and_lease = SqliteBroker.settle_and_lease
    reconnect = SqliteBroker.reconnect

    def both(self, settlements, queues, limit, ttl):
        return settle_and_lease(self, settlements, () if bad() else queues, limit, ttl)

    def bad():
        return not Path("mended").exists()

    def again(self):
        Path("reconnected").touch()
        if Path("mendable").exists():
            Path("mended").touch()
        reconnect(self)

    SqliteBroker.settle_and_lease = both
    SqliteBroker.reconnect = again
"""


def test_a_worker_that_claims_nothing_connects_anew(bench, monkeypatch):
    stand_in(monkeypatch, bench.folder, NOTHING_IS_CLAIMED)
    (bench.folder / "mendable").touch()
    tasks = bench.tasks()
    worker = bench.worker("-c", "1", "--watchdog-timeout", "2")
    result = tasks.add.delay(1, 1)
    worker.line(r"nothing was claimed for 2 s: connecting to the broker anew")
    assert result.get(timeout=20) == 2
    assert worker.stop() == 0


def test_a_worker_that_still_claims_nothing_ends_with_3_and_hands_back(bench, monkeypatch):
    stand_in(monkeypatch, bench.folder, NOTHING_IS_CLAIMED)
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("began")
            until("gate")
    """)
    bench.gate()
    (bench.folder / "mended").touch()
    worker = bench.worker("-c", "2", "--watchdog-timeout", "0.6")
    tasks.stay.delay()
    bench.noted("began")
    (bench.folder / "mended").unlink()
    tasks.add.delay(1, 1)
    worker.line("connecting to the broker anew")
    worker.line("giving up with exit code 3")
    assert worker.end() == 3
    assert (bench.folder / "reconnected").exists()
    assert bench.app.broker.depth("celery") == 2


def test_a_loop_that_hangs_ends_with_3(bench, monkeypatch):
    stand_in(
        monkeypatch,
        bench.folder,
        """
        import threading
        from pathlib import Path
        from penstock.brokers.sqlite import SqliteBroker

        tend = SqliteBroker.tend

        def hangs(self):
            if Path("hang").exists():
                threading.Event().wait()
            return tend(self)

        SqliteBroker.tend = hangs
        """,
    )
    bench.tasks()
    worker = bench.worker("-c", "1", "--watchdog-timeout", "0.6")
    everyone = [worker.zygote(), *worker.staffed(1)]
    (bench.folder / "hang").touch()
    worker.line("giving up with exit code 3")
    assert worker.end() == 3
    await_gone(*everyone, within=2)


def test_a_worker_that_was_not_woken_looks_by_itself(bench, monkeypatch):
    tasks = bench.tasks()
    worker = bench.worker("-c", "1")
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    monkeypatch.setattr("penstock.engines.bell.Bells.ring", lambda _bells, _names: None)
    assert tasks.add.delay(2, 2).get(timeout=20) == 4
    assert worker.stop() == 0


def test_busy_and_idle_workers_are_left_alone(bench):
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("began")
            until("gate")
    """)
    open_gate = bench.gate()
    worker = bench.worker("-c", "1", "--watchdog-timeout", "0.3")
    stay, waits = tasks.stay.delay(), tasks.add.delay(1, 1)
    bench.noted("began")
    later = tasks.add.apply_async((2, 2), countdown=1.5)
    assert later.state == "PENDING"
    wait_for(lambda: health(bench.folder)[0]["up"] > 1.5)
    open_gate()
    stay.get(timeout=20)
    assert waits.get(timeout=20) == 2
    assert later.get(timeout=20) == 4
    assert "anew" not in worker.text
    assert worker.stop() == 0


def test_time_in_which_it_was_stopped_does_not_count(bench):
    tasks = bench.tasks()
    worker = bench.worker("-c", "1", "--watchdog-timeout", "0.3")
    os.kill(worker.pid, signal.SIGSTOP)
    result = tasks.add.delay(1, 1)
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 1.0)
    os.kill(worker.pid, signal.SIGCONT)
    assert result.get(timeout=20) == 2
    assert "giving up" not in worker.text
    assert worker.stop() == 0


# --- --reload ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_changed_source_is_run_from_then_on(bench, pool):
    tasks = bench.tasks("""
        @app.task
        def version():
            return 1
    """)
    worker = bench.worker("-P", pool, "-c", "1", "--reload")
    assert tasks.version.delay().get(timeout=20) == 1
    pid, source = worker.pid, bench.folder / "tasks.py"
    source.write_text(source.read_text().replace("return 1", "return 22"))
    worker.line("A source changed")
    worker.line(r" ready\.")
    assert tasks.version.delay().get(timeout=20) == 22
    assert worker.pid == pid
    assert worker.process.poll() is None
    assert worker.stop(signal.SIGINT) == 0


def test_an_error_in_the_source_waits_to_be_mended(bench):
    tasks = bench.tasks()
    worker = bench.worker("-c", "1", "--reload")
    source = bench.folder / "tasks.py"
    good = source.read_text()
    source.write_text(good + "\n1 / 0\n")
    worker.line("ZeroDivisionError")
    worker.line("Waiting for a change")
    source.write_text(good + "\nmended = True\n")
    worker.line(r" ready\.")
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert worker.stop() == 0


def test_a_task_that_runs_may_finish_before_the_worker_starts_again(bench):
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("began")
            until("gate")
            return "finished"
    """)
    open_gate = bench.gate()
    worker = bench.worker("-c", "1", "--reload")
    stay = tasks.stay.delay()
    bench.noted("began")
    (bench.folder / "other.py").touch()
    worker.line("Stopping")
    open_gate()
    assert stay.get(timeout=20) == "finished"
    worker.line(r" ready\.")
    assert bench.journal() == ["began"]
    assert worker.stop() == 0
