"""Every example runs as its README says: a worker in one process, the trigger in another."""

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
        done = subprocess.run(
            [sys.executable, "trigger.py"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr + (folder / "worker.log").read_text()
    return done.stdout.splitlines()


@pytest.mark.parametrize("folder", ["tutorial"], indirect=True)
def test_tutorial(folder):
    task_id, done = trigger(folder)
    assert re.fullmatch(r"task id: [0-9a-f-]{36}", task_id)
    assert done == "task done: 8"
    log = (folder / "worker.log").read_text()
    task_id = task_id.removeprefix("task id: ")
    assert f"Received task: tasks.add[{task_id}]" in log
    assert re.search(rf"Task tasks\.add\[{task_id}\] succeeded in [\d.e-]+s: 8", log)


@pytest.mark.parametrize("folder", ["retry"], indirect=True)
def test_retry(folder):
    assert trigger(folder) == ["opened at the third knock", "parcel fetched"]


@pytest.mark.parametrize("folder", ["progress"], indirect=True)
def test_progress(folder):
    *steps, last = trigger(folder)
    assert last == "baked: 5 loaves"
    assert steps
    assert all(re.fullmatch(r"[0-4] of 5", step) for step in steps)


def test_every_example_is_run_here():
    shown = set(re.findall(r'parametrize\("folder", \["(\w+)"', Path(__file__).read_text("utf-8")))
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == shown


@pytest.mark.parametrize("example", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_example_has_a_readme(example):
    assert (example / "README.md").read_text("utf-8").startswith("# ")
