"""Starting, stopping, names, screens and exit codes of workers."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest


def penstock(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_start_screen(bench):
    bench.tasks()
    worker = bench.worker("-c", "3", "-Q", "orders,mail")
    for line in (
        r"app: +tasks",
        rf"transport: +sqlite:///{bench.folder}/penstock\.db",
        r"results: +sqlite://",
        r"concurrency: 3 \(prefork\)",
        r"\[queues\]",
        r"orders",
        r"mail",
        r"\[tasks\]",
        r"\. tasks\.add",
    ):
        import re

        assert re.search(line, worker.text), line
    assert (bench.folder / "penstock.db").stat().st_mode & 0o777 == 0o600


def test_an_idle_worker_stops_at_once(bench):
    bench.tasks()
    worker = bench.worker("-c", "2")
    began = time.monotonic()
    assert worker.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 3.0


def test_ctrl_c_reaches_the_group_but_only_the_supervisor_decides(bench):
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("began")
            until("gate")
            return "finished"
    """)
    open_gate = bench.gate()
    worker = bench.worker("-c", "1")
    result = tasks.stay.delay()
    bench.noted("began")
    os.killpg(worker.pid, signal.SIGINT)
    worker.line("Stopping")
    open_gate()
    assert worker.end() == 0
    assert result.get(timeout=5) == "finished"


def test_stopping_hands_back_what_did_not_begin(bench):
    tasks = bench.tasks("""
        @app.task
        def stay(number):
            note(f"began {number}")
            until("gate")
    """)
    open_gate = bench.gate()
    worker = bench.worker("-c", "1")
    tasks.stay.send_many([(number,) for number in range(5)])
    bench.noted("began 0")
    worker.process.send_signal(signal.SIGTERM)
    worker.line("Stopping")
    open_gate()
    assert worker.end() == 0
    assert bench.app.broker.depth("celery") == 4
    assert bench.journal() == ["began 0"]
    order = [message.headers["argsrepr"] for message in bench.app.broker.peek("celery")]
    assert order == ["(1,)", "(2,)", "(3,)", "(4,)"]


def test_what_runs_longer_than_the_shutdown_timeout_is_handed_back(bench):
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("began")
            until("gate")
    """)
    bench.gate()
    worker = bench.worker("-c", "1", "--shutdown-timeout", "0.2")
    tasks.stay.delay()
    bench.noted("began")
    assert worker.stop() == 1
    assert bench.app.broker.depth("celery") == 1


def test_a_second_signal_stops_at_once(bench):
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("began")
            until("gate")
    """)
    bench.gate()
    worker = bench.worker("-c", "1")
    tasks.stay.delay()
    bench.noted("began")
    worker.process.send_signal(signal.SIGTERM)
    worker.line("Stopping")
    began = time.monotonic()
    assert worker.stop() == 1
    assert time.monotonic() - began < 5.0
    assert bench.app.broker.depth("celery") == 1


def test_a_taken_name_is_refused_and_a_default_one_gets_a_number(bench):
    bench.tasks()
    bench.worker("-c", "1", "-n", "w1@%h")
    refused = penstock(bench.folder, "-A", "tasks", "worker", "-n", "w1@%h")
    assert refused.returncode == 2
    assert "w1@" in refused.stderr
    assert "Traceback" not in refused.stderr
    bench.worker("-c", "1")
    second = bench.worker("-c", "1")
    assert f"penstock-2@{socket.gethostname()}" in second.text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-A", "nowhere", "worker"], "nowhere"),
        (["-A", "tasks:missing", "worker"], "missing"),
        (["-A", "broken", "worker"], "ZeroDivisionError"),
        (["worker"], "-A"),
        (["-A", "tasks", "worker", "-P", "gevent"], "gevent"),
        (["-A", "tasks", "worker", "-l", "loud"], "loud"),
        (["-A", "tasks", "worker", "-b", "sqs://x"], "sqs"),
    ],
)
def test_wrong_use_is_one_clear_error(bench, arguments, text):
    bench.tasks()
    (bench.folder / "broken.py").write_text("1 / 0\n")
    done = penstock(bench.folder, *arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stderr.count("Traceback") == ("broken" in arguments)


def test_a_directory_in_the_place_of_the_file(bench):
    bench.tasks()
    (bench.folder / "penstock.db").mkdir()
    done = penstock(bench.folder, "-A", "tasks", "worker")
    assert done.returncode == 2
    assert "penstock.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_leaves_nothing_behind(bench):
    tasks = bench.tasks()
    worker = bench.worker("-c", "2")
    everyone = [worker.zygote(), *worker.executors()]
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert worker.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in everyone)


def test_a_task_knows_its_workers_name(bench):
    tasks = bench.tasks("""
        @app.task(bind=True)
        def where(self):
            return self.request.hostname
    """)
    bench.worker("-c", "1", "-Q", "other")
    bench.worker("-c", "1")
    assert tasks.where.delay().get(timeout=20) == f"penstock-2@{socket.gethostname()}"


def test_memory_is_refused_where_a_worker_would_wait_in_vain(bench):
    bench.tasks()
    done = penstock(bench.folder, "-A", "tasks", "worker", "-b", "memory://")
    assert done.returncode == 2
    assert "sqlite:///" in done.stderr


def test_ctrl_c_in_the_middle_of_an_endless_import(bench):
    (bench.folder / "tasks.py").write_text("print('importing', flush=True)\nopen('gate').read()\n")
    os.mkfifo(bench.folder / "gate")
    worker = bench.worker(ready=False)
    worker.line("importing")
    assert worker.stop(signal.SIGINT) == 0


def test_executors_that_die_at_their_start_do_not_spin_nor_hold_up_a_stop(bench):
    bench.tasks("""
        @app.executor_started
        def up():
            note("up")
            raise RuntimeError("no database here")
    """)
    worker = bench.worker("-c", "1")
    for _ in range(3):
        worker.line(r"Executor 0 \(pid \d+\): exit code 1")
    assert len(bench.journal()) <= 4  # from the third on it pauses
    assert worker.stop() == 0
