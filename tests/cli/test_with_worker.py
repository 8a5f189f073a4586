"""The commands beside a worker that runs: what was sent is done, and can be looked at."""

import json
import os
import subprocess
import sys

import pytest

TASKS = """\
from penstock import App

app = App("tasks")


@app.task
def add(x, y):
    return x + y


@app.task
def fail():
    raise ValueError("no money")
"""


def command(folder, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an app, and a worker that is ready."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "tasks.py").write_text(TASKS)
    with (folder / "worker.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "-A", "tasks", "worker", "-c", "1"],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        # The first call is answered once the worker is there.
        assert call(folder, "tasks.add", "--args", "[1, 1]").stdout == "2\n"
        yield folder
    finally:
        process.terminate()
        assert process.wait(30) == 0


def call(folder, *arguments):
    return command(folder, "-A", "tasks", "call", *arguments, "--wait", "--timeout", "30")


def test_call_waits_and_prints_the_value(folder):
    done = call(folder, "tasks.add", "--args", "[4, 4]")
    assert (done.returncode, done.stdout, done.stderr) == (0, "8\n", "")


def test_a_failure_has_its_exit_code_and_traceback(folder):
    done = call(folder, "tasks.fail", "--task-id", "broke")
    assert done.returncode == 1
    assert done.stderr == "FAILURE: ValueError: no money\n"
    shown = command(folder, "-A", "tasks", "result", "broke", "--traceback")
    assert shown.returncode == 1
    assert 'raise ValueError("no money")' in shown.stdout


def test_result_needs_no_app_beside_the_default_file(folder):
    call(folder, "tasks.add", "--args", "[2, 3]", "--task-id", "five")
    done = command(folder, "result", "five", "--timeout", "10")
    assert (done.returncode, done.stdout) == (0, "5\n")


def test_status_shows_the_worker(folder):
    done = command(folder, "status", "--json")
    assert done.returncode == 0
    assert [worker["alive"] for worker in json.loads(done.stdout)] == [True]


def test_an_unknown_task_is_a_dead_letter_that_can_be_dropped(folder):
    done = call(folder, "tasks.ad", "--task-id", "who")
    assert done.returncode == 1
    assert "tasks.ad" in done.stderr
    (letter,) = json.loads(command(folder, "dead", "list", "--json").stdout)
    assert (letter["id"], letter["task"], letter["queue"]) == ("who", "tasks.ad", "celery")
    assert "tasks.ad" in letter["reason"]
    assert command(folder, "dead", "drop", "who").stdout == "1 dropped\n"
    assert json.loads(command(folder, "dead", "list", "--json").stdout) == []
