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


# --- asking and telling it ----------------------------------------------------------------------


def test_it_answers_at_once(folder):
    answer = command(folder, "-A", "tasks", "inspect", "ping", "--json", "--timeout", "30")
    ((name, said),) = json.loads(answer.stdout).items()
    assert (name.partition("@")[0], said) == ("penstock", {"ok": "pong"})


def test_what_it_says_is_shown(folder):
    shown = command(folder, "-A", "tasks", "inspect", "registered", "acks_late").stdout
    assert "  tasks.add [acks_late=True]\n" in shown
    shown = command(folder, "-A", "tasks", "control", "rate_limit", "tasks.fail", "100/s").stdout
    assert shown.endswith(": new rate limit set successfully\n")


def test_who_is_not_there_does_not_answer(folder):
    answer = command(folder, "-A", "tasks", "inspect", "ping", "-d", "nobody@here", "-t", "0.2")
    assert (answer.returncode, answer.stdout, answer.stderr) == (1, "", "No worker answered.\n")


def test_what_it_refuses_is_an_error(folder):
    answer = command(folder, "-A", "tasks", "control", "rate_limit", "tasks.none", "1/s")
    assert answer.returncode == 1
    assert answer.stdout.endswith(": error: unknown task\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("inspect", "pong"), "did you mean 'ping'?"),
        (("inspect", "query_task"), "query_task needs IDS..."),
        (("inspect", "ping", "me"), "ping takes no 'me'"),
        (("control", "pool_grow", "many"), "N of pool_grow is a number, not 'many'"),
        (("control", "pool_grow", "--terminate"), "--terminate is for revoke"),
        (("events",), "no events on this broker"),
    ],
)
def test_wrong_words_are_refused_in_one_line(folder, words, said):
    answer = command(folder, "-A", "tasks", *words)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1
