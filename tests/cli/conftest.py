"""The command line in this process, in an empty folder, on a real SQLite file."""

import json
import os
import sys
from dataclasses import dataclass

import pytest

from penstock.cli import main
from penstock.tasks.app import App

URL = "sqlite:///jobs.db"

TASKS = """\
from penstock import App

app = App("tasks", broker="sqlite:///jobs.db")


@app.task
def add(x, y):
    return x + y
"""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def refused(self):
        """True when it was refused as it should be: one line, exit code 2."""
        lines = self.err.splitlines()
        return self.code == 2 and len(lines) == 1 and lines[0].startswith("Error: ")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, an environment without our variables, fresh imports afterwards."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if not name.startswith("penstock"):
            del sys.modules[name]


@pytest.fixture
def penstock(folder, capsys):
    """Runs the command line with these arguments."""

    def run(*arguments):
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return run


@pytest.fixture
def app(folder):
    """An app on the folder's file."""
    app = App("tasks", broker=URL)
    yield app
    app.close()


@pytest.fixture
def tasks(folder):
    """A module `tasks` in the folder, with the task `tasks.add`."""
    (folder / "tasks.py").write_text(TASKS)
    return "tasks"
