"""Clocks that jump, memory that ends, forks, and more work than can be done."""

import os
import signal
import threading
from pathlib import Path

import pytest

from penstock import App
from proxy import Proxy
from storm_fleet import measure
from workers import wait_for


@pytest.fixture(params=["sqlite", "redis"])
def url(request, tmp_path):
    if request.param == "redis":
        return request.getfixturevalue("redis_url")
    return f"sqlite:///{tmp_path / 'jobs.db'}"


SHIFTED = """
import os, time

_real = time.time

def shifted():
    try:
        with open(os.environ["SHIFT"]) as file:
            return _real() + float(file.read() or 0)
    except FileNotFoundError:
        return _real()

time.time = shifted
"""


def test_a_clock_that_jumps_repeats_nothing(bench, url, monkeypatch):
    (bench.folder / "sitecustomize.py").write_text(SHIFTED)
    monkeypatch.setenv("PYTHONPATH", str(bench.folder))
    monkeypatch.setenv("SHIFT", str(bench.folder / "shift"))
    monkeypatch.setenv("PENSTOCK_BROKER_URL", url)
    tasks = bench.tasks("""
        app.conf.lease_time = 1.0

        @app.task
        def stay(number):
            note(f"ran {number}")
            time.sleep(0.8)
            return number
    """)
    bench.worker("-c", "2", "-n", "one")
    bench.worker("-c", "2", "-n", "two")
    results = [tasks.stay.delay(number) for number in range(12)]
    for place, seconds in enumerate((3600, -3600, 40_000, -40_000)):
        bench.noted(f"ran {2 * place}$")
        (bench.folder / "shift").write_text(str(seconds))
    assert [result.get(timeout=30) for result in results] == list(range(12))
    assert sorted(bench.journal()) == sorted(f"ran {number}" for number in range(12))


def limit_memory(pid, size):
    """Put a process into a group of its own that may use so much; gives the group's folder."""
    name = f"penstock-{pid}"
    for base, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        folder = Path("/sys/fs/cgroup", base, name)
        try:
            folder.mkdir()
            (folder / limit).write_text(str(size))
            (folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            if folder.is_dir():
                folder.rmdir()
            continue
        return folder
    pytest.skip("this machine lets us make no group with a memory limit")


def test_a_task_that_takes_all_memory_is_killed_alone(bench):
    tasks = bench.tasks("""
        @app.task
        def hungry():
            note(str(os.getpid()))
            until("gate")
            return len([bytearray(1 << 20) for _ in range(1000)])
    """)
    open_gate = bench.gate()
    worker = bench.worker("-c", "2")
    result = tasks.hungry.delay()
    groups = []
    for run in range(1, 4):
        wait_for(lambda run=run: len(bench.journal()) == run, what=f"run {run}")
        groups.append(limit_memory(int(bench.journal()[-1]), 64 << 20))
        open_gate()
    assert "SIGKILL" in repr(result.get(timeout=30, propagate=False))
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert worker.process.poll() is None
    for group in groups:
        wait_for(lambda group=group: not (group / "cgroup.procs").read_text(), what="its end")
        group.rmdir()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_forks_amid_sending_lose_and_share_nothing(url):
    app = App("forks", broker=url)
    task = app.task(print, name="echo")
    over = threading.Event()
    sent = []

    def send():
        while not over.is_set():
            sent.append(task.delay().id)

    thread = threading.Thread(target=send)
    thread.start()
    for number in range(20):
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)  # one that hangs is no success
            try:
                task.apply_async(task_id=f"child-{number}")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
    over.set()
    thread.join()
    stored = [message.id for message in app.broker.peek("celery", 10**6)]
    app.close()
    assert sorted(stored) == sorted([*sent, *(f"child-{number}" for number in range(20))])


def test_ten_times_more_work_than_can_be_done_takes_no_memory(bench, url, monkeypatch):
    monkeypatch.setenv("PENSTOCK_BROKER_URL", url)
    tasks = bench.tasks("""
        @app.task
        def work(text):
            time.sleep(0.005)

        @app.task
        def urgent():
            note("ran")
    """)
    worker = bench.worker("-c", "2")
    tasks.work.delay("").get(timeout=20)
    before = measure(worker.pid)["rss"]
    for _ in range(20):
        tasks.work.send_many([("x" * 4000,)] * 500)
    tasks.urgent.apply_async(priority="high")  # does not wait behind the rest, where that can be
    if not url.startswith("redis"):  # there all are of the highest priority
        bench.noted("ran", timeout=20)
    assert measure(worker.pid)["rss"] - before < 32 * 1024
    assert bench.app.broker.purge("celery") > 0


def test_what_is_copied_or_rotten_in_the_broker_stops_nobody(bench, redis_url, monkeypatch):
    import redis

    monkeypatch.setenv("PENSTOCK_BROKER_URL", redis_url)
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", redis_url)
    tasks = bench.tasks("""
        @app.task
        def mark(number):
            note(f"ran {number}")
            return number
    """)
    results = [tasks.mark.delay(number) for number in range(5)]
    server = redis.Redis.from_url(redis_url)
    raws = server.lrange("celery", 0, -1)
    server.rpush("celery", *raws)  # as a broken fail-over might
    rotten = [raws[0][:-7], raws[0].replace(b"mark", b"m\xffrk"), b"\0" * 100, b"[]", b"{}"]
    server.rpush("celery", *rotten)
    worker = bench.worker("-c", "2")
    assert [result.get(timeout=20) for result in results] == list(range(5))
    wait_for(lambda: len(bench.app.broker.dead()) == len(rotten), what="the rotten set aside")
    wait_for(lambda: not server.llen("celery"), what="an empty list")
    assert tasks.mark.delay(5).get(timeout=20) == 5
    assert worker.stop() == 0
    assert max(bench.journal().count(f"ran {number}") for number in range(5)) <= 2
    server.close()


def test_a_worker_that_ends_while_its_line_is_down_still_settles(bench, redis_server, redis_url):
    with Proxy(redis_server.port) as proxy:
        url = redis_url.replace(f":{redis_server.port}/", f":{proxy.port}/")
        tasks = bench.tasks("""
            @app.task
            def stay():
                note("began")
                until("gate")
                return "done"
        """)
        tasks.app.conf.update(broker_url=redis_url, result_backend=redis_url)
        open_gate = bench.gate()
        worker = bench.worker("-c", "1", "-b", url, "--result-backend", url)
        result = tasks.stay.delay()
        bench.noted("began")
        proxy.refuse()
        open_gate()
        worker.line("The broker is away", timeout=20)
        worker.process.send_signal(signal.SIGTERM)
        worker.line("Stopping", timeout=20)
        proxy.heal()
        assert worker.end() == 0
        assert result.get(timeout=1) == "done"
        assert not bench.app.broker.depth("celery")
