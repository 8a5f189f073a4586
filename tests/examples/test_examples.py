"""Every example runs as its README says: tasks with a worker beside their trigger."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(tmp_path, request):
    """A copy of the example, so that its queue file is a new one."""
    return shutil.copytree(EXAMPLES / request.param, tmp_path / request.param)


@contextmanager
def worker(folder):
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "-A", "tasks", "worker", "-c", "2", "-l", "info"],
            cwd=folder,
            env=environment(),
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(30) == 0, (folder / "worker.log").read_text()


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}


def trigger(folder):
    with worker(folder):
        done = program(folder / "trigger.py")
    assert done.returncode == 0, done.stderr + (folder / "worker.log").read_text()
    return done.stdout.splitlines()


def program(path):
    return subprocess.run(
        [sys.executable, path.name],
        cwd=path.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def words_of(path, pattern):
    """What matches: two processes may print into each other's lines."""
    done = program(path)
    assert (done.returncode, done.stderr) == (0, "")
    return re.findall(pattern, done.stdout)


@pytest.mark.parametrize("folder", ["tutorial"], indirect=True)
def test_tutorial(folder):
    task_id, done = trigger(folder)
    assert re.fullmatch(r"task id: [0-9a-f-]{36}", task_id)
    assert done == "task done: 8"
    log = (folder / "worker.log").read_text()
    task_id = task_id.removeprefix("task id: ")
    assert f"Received task: tasks.add[{task_id}]" in log
    assert re.search(rf"Task tasks\.add\[{task_id}\] succeeded in [\d.e-]+s: 8", log)


@pytest.mark.parametrize("folder", ["postgresql"], indirect=True)
def test_a_task_in_a_transaction(folder, postgres_server, monkeypatch):
    postgres_server.ensure()
    postgres_server.sql("CREATE DATABASE example")
    monkeypatch.setenv("DATABASE", postgres_server.url(database="example"))
    assert trigger(folder) == ["task done: order 2 is confirmed", "the other: PENDING"]
    assert postgres_server.sql("SELECT * FROM orders", database="example") == [(2, 95)]
    assert postgres_server.PASSWORD not in (folder / "worker.log").read_text()


@pytest.mark.parametrize("folder", ["redis"], indirect=True)
def test_tutorial_on_redis(folder, redis_server, redis_url, monkeypatch):
    monkeypatch.setenv("REDIS", redis_url.removesuffix("/0"))
    task_id, done = trigger(folder)
    assert done == "task done: 8"
    key = f"celery-task-meta-{task_id.removeprefix('task id: ')}"
    document = json.loads(redis_server.cli("GET", key, db=6))
    assert (document["status"], document["result"]) == ("SUCCESS", 8)
    assert redis_server.cli("LLEN", "celery", db=5) == "0"
    log = (folder / "worker.log").read_text()
    assert "transport:   redis://:**@127.0.0.1" in log
    assert redis_server.PASSWORD not in log


@pytest.mark.parametrize("folder", ["retry"], indirect=True)
def test_retry(folder):
    assert trigger(folder) == ["opened at the third knock", "parcel fetched"]


@pytest.mark.parametrize("folder", ["progress"], indirect=True)
def test_progress(folder):
    *steps, last = trigger(folder)
    assert last == "baked: 5 loaves"
    assert steps
    assert all(re.fullmatch(r"[0-4] of 5", step) for step in steps)


@pytest.mark.parametrize("folder", ["producer_consumer"], indirect=True)
def test_producer_consumer(folder):
    *words, last = words_of(folder / "main.py", r"put \w|got \w|unfinished: 0")
    assert [word for word in words if "put" in word] == ["put a", "put b", "put c", "put d"]
    assert [word for word in words if "got" in word] == ["got a", "got b", "got c", "got d"]
    assert last == "unfinished: 0"


@pytest.mark.parametrize("folder", ["even_odd"], indirect=True)
def test_even_odd(folder):
    words = words_of(folder / "main.py", r"put \d|even got \d|odd got \d|all done")
    assert [word for word in words if "put" in word] == [f"put {n}" for n in range(1, 10)]
    assert [word for word in words if "even" in word] == [f"even got {n}" for n in (2, 4, 6, 8)]
    assert [word for word in words if "odd" in word] == [f"odd got {n}" for n in (1, 3, 5, 7, 9)]
    assert words[-1] == "all done"


@pytest.mark.parametrize("folder", ["pipe"], indirect=True)
def test_pipe(folder):
    words = words_of(folder / "one_way.py", r"sent \d|received \d")
    assert [word for word in words if "sent" in word] == [f"sent {n}" for n in range(1, 10)]
    assert [word for word in words if "rec" in word] == [f"received {n}" for n in range(1, 10)]
    words = words_of(folder / "both_ways.py", r"\d doubled is \d+|the other end is closed")
    assert words == [f"{n} doubled is {2 * n}" for n in range(1, 10)] + ["the other end is closed"]


@pytest.mark.parametrize("folder", ["durable_queue"], indirect=True)
def test_durable_queue(folder):
    stew = {"dish": "stew", "guests": 0, "table": 9}
    assert words_of(folder / "shop.py", r".+") == ["3 orders wait"]
    assert words_of(folder / "kitchen.py", r".+") == [
        "soup for 2 at table 1",
        "salad for 1 at table 4",
        *["not cooked: a stew for nobody"] * 3,
        f"set aside: {stew} (ValueError: a stew for nobody (failure 3))",
    ]


def test_every_example_is_run_here():
    shown = set(re.findall(r'parametrize\("folder", \["(\w+)"', Path(__file__).read_text("utf-8")))
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == shown


@pytest.mark.parametrize("example", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_example_has_a_readme(example):
    assert (example / "README.md").read_text("utf-8").startswith("# ")
