"""The demo, whole, with few orders: real workers are killed, nothing is lost."""

import os
import re
import subprocess
import sys

import pytest

LAST = re.compile(r"orders (\d+)  done (\d+)  lost (\d+)  run twice (\d+)")


def demo(*arguments, cwd):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
    return subprocess.run(
        [sys.executable, "-m", "penstock", "demo", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = demo("--orders", "150", "--keep", str(folder / "kept"), cwd=folder)
    return done, folder / "kept"


def test_it_ends_well(shown):
    done, _ = shown
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def test_the_tutorial_task_is_done(shown):
    assert "task done: 8" in shown[0].stdout.splitlines()


def test_the_last_line_counts(shown):
    last = shown[0].stdout.splitlines()[-1]
    orders, done, lost, _twice = map(int, LAST.fullmatch(last).groups())
    assert (orders, done, lost) == (150, 150, 0)


def test_an_executor_and_a_worker_were_killed(shown):
    assert re.search(r"killed +1 executor, 1 worker", shown[0].stdout)


def test_what_was_cut_ran_twice_and_the_cause_is_told(shown):
    assert "because its executor was killed while it ran" in shown[0].stdout
    assert "WITHOUT A CAUSE" not in shown[0].stdout


def test_everything_is_kept_where_it_was_asked_for(shown):
    kept = {path.name for path in shown[1].iterdir()}
    assert {"penstock.db", "journal.txt", "worker.log"} <= kept


def test_a_folder_with_something_in_it_is_refused(shown, tmp_path):
    done = demo("--keep", str(shown[1]), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "not empty" in done.stderr
