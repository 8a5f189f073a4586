"""SQLite's own method: the Nth system call on the file fails, or is the last, for every N.

Here every tenth of some of them; CRASH_POINTS=all: each, until a run has no Nth call any more.
"""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from penstock import App
from penstock.testing.history import read
from servers import path_of

ALL = os.environ.get("CRASH_POINTS") == "all"
STEP = 1 if ALL else 9
PROGRAM = Path(__file__).parents[1] / "support" / "syscall_client.py"
SWEEPS = [
    ("pwrite64", "signal=KILL"),
    ("pwrite64", "error=EIO"),
    ("pwrite64", "error=ENOSPC"),
    ("fdatasync", "signal=KILL"),
    ("fdatasync", "error=EIO"),
    ("fcntl", "signal=KILL"),
    ("openat", "error=EMFILE"),
    ("openat", "signal=KILL"),
    ("ftruncate", "error=ENOSPC"),
    ("ftruncate", "signal=KILL"),
]


def send_under(call, what, number, folder):
    """Run the client; its Nth such call on the file meets its fate. Gives its exit code."""
    database = folder / "sweep.db"
    files = [f"{database}{suffix}" for suffix in ("", "-wal", "-shm", "-journal")]
    command = [
        path_of("strace"), "-f", "-qq", "-o", str(folder / "calls"),
        *(word for file in files for word in ("-P", file)),
        "-e", f"trace={call}", "-e", f"inject={call}:{what}:when={number}",
        sys.executable, str(PROGRAM), f"sqlite:///{database}", str(folder / "history"),
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, check=False)


def told(folder):
    """What the client was told: id -> phase, the last word counts."""
    path = folder / "history"
    events = [event for event in read(path) if event["op"] == "send"] if path.exists() else []
    return {event["id"]: event["phase"] for event in events}


def stored(folder):
    """What is in the file, once its integrity is proven."""
    connection = apsw.Connection(str(folder / "sweep.db"))
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    app = App("look", broker=f"sqlite:///{folder / 'sweep.db'}")
    ids = [message.id for message in app.broker.peek("celery", 1000)]
    app.close()
    return ids


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("call", "what"), SWEEPS if ALL else SWEEPS[::3])
def test_what_is_acknowledged_is_kept(call, what, tmp_path):
    for number in itertools.count(1, STEP):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = send_under(call, what, number, folder)
        said = told(folder)
        ids = stored(folder)
        where = (number, said, ids, done.stderr)
        assert len(ids) == len(set(ids)), where
        assert {name for name, phase in said.items() if phase == "ok"} <= set(ids), where
        assert not {name for name, phase in said.items() if phase == "fail"} & set(ids), where
        assert set(ids) <= set(said), where
        injected = "INJECTED" in (folder / "calls").read_text() or done.returncode == -9
        shutil.rmtree(folder)
        if not injected:
            break
        if what.startswith("error"):  # it says so, and goes on as soon as the call works again
            assert done.returncode == 0, where
            assert said["t3"] == "ok", where
    assert number > 1, "nothing was injected"
