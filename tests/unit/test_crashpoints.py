"""Crash points: inert as a rule; an armed one kills the right process, the right time, once."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import crashpoints

SOURCE = Path(crashpoints.__file__).parent
EXCHANGES = {"publish", "lease", "settle", "extend", "settle+lease"}  # by the plans' own names


def called(word):
    texts = (path.read_text() for path in SOURCE.rglob("*.py") if path.name != "crashpoints.py")
    return {name for text in texts for name in re.findall(rf'\b{word}\("([^"]+)"', text)}


def test_the_list_is_what_the_code_reaches():
    ours = {point.partition(".")[2] for point in crashpoints.POINTS}
    exchanges = {name for name in ours if name.rpartition(".")[0] in EXCHANGES}
    by_tasks = {"running"}  # in the middle of a task: its own code says so
    reached = called("reach")  # also those of exchanges, where a broker has no plans
    assert ours - exchanges - by_tasks == reached - exchanges | called("tear")
    assert {name for name in reached if name.endswith((".asked", ".done"))} <= exchanges


def test_exchanges_are_named_as_in_the_list():
    named = called("Exchange")
    assert EXCHANGES - {"settle+lease"} <= named


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", f"from penstock.crashpoints import *\n{code}\nprint('alive')"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


PASSES = "play('supervisor')\nfor _ in range(3): reach('claimed'); print('passed')"


@pytest.mark.parametrize(
    ("wish", "passed", "number"),
    [
        ("supervisor.claimed", 0, signal.SIGKILL),
        ("supervisor.claimed:3", 2, signal.SIGKILL),
        ("supervisor.claimed:1:TERM", 0, signal.SIGTERM),
    ],
)
def test_an_armed_point_kills(wish, passed, number, tmp_path):
    note = tmp_path / "note"
    environment = {"PENSTOCK_CRASH_POINT": wish, "PENSTOCK_CRASH_NOTE": str(note)}
    code = f"import sys; sys.stdout.reconfigure(line_buffering=True)\n{PASSES}"
    done = run(code, **environment)
    assert (done.returncode, done.stdout.count("passed")) == (-number, passed)
    event = json.loads(note.read_text())
    assert (event["op"], event["kind"], event["point"]) == ("fault", "crash", "supervisor.claimed")
    assert run(code, **environment).stdout.endswith("alive\n")  # one death is enough


@pytest.mark.parametrize("wish", ["", "executor.claimed", "supervisor.claimed:4"])
def test_all_others_live(wish):
    assert run(PASSES, PENSTOCK_CRASH_POINT=wish).stdout.endswith("alive\n")


def test_a_torn_write_stops_in_the_middle(tmp_path):
    code = "import os; tear('line', lambda data: os.write(1, data), b'12345678')"
    assert run(code, PENSTOCK_CRASH_POINT="client.line").stdout == "1234"
