"""The RabbitMQ that tests start leaves nothing behind, whatever becomes of the tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from workers import alive, wait_for

SUPPORT = Path(__file__).parents[1] / "support"
PROGRAM = """if True:
    from rabbit_server import RabbitServer
    server = RabbitServer()
    print(server.pid, flush=True)
    input()
"""


def of_session(leader):
    """Process ids."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == leader:
                found.append(int(path.name))
        except ProcessLookupError:
            continue
    return found


def names(pids):
    return {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}


def test_it_and_its_port_mapper_die_with_who_started_them(tmp_path, rabbit_server):
    del rabbit_server  # where it cannot run this skips, rather than the program below
    parent = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": str(SUPPORT), "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        leader = int(parent.stdout.readline())
        members = of_session(leader)
        assert {"epmd", "beam.smp"} <= names(members)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(alive, members)), 10, "the end of the server and its mapper")
