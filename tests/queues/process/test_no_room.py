"""Where the system has no memory for a queue: an error now, never a bus error later."""

import os
import resource
import shutil
import subprocess
import sys

import pytest

from penstock.errors import QueueError
from penstock.queues.places import private_folder
from process_queues import Child

IN_A_SMALL_FOLDER = """
import sys
from penstock.errors import Full, QueueError
from penstock.queues.process import ProcessQueue
try:
    ProcessQueue(name="large", max_bytes=8 << 20)
except QueueError as error:
    print(error)
queue = ProcessQueue(name="small", max_bytes=65536)
try:
    queue.put(bytes(4 << 20))
except Full as error:
    print(error)
queue.put(bytes(100_000))
print(len(queue.get()))
"""


@pytest.mark.parametrize("named", [False, True])
def test_limited(kind, name, named):
    def make():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(QueueError, match=r"no room in .* of 1000000 bytes.*max_bytes"):
            kind(name=name if named else None, max_bytes=1_000_000)
        kind(name=name if named else None, max_bytes=4096).close()

    assert Child(make).code() == 0
    assert not os.path.exists(f"{private_folder().path}/queue.{name}")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root")
def test_full(core):
    """A folder of shared memory with 1 MiB."""
    script = 'mount -t tmpfs -o size=1m none /dev/shm && exec "$0" -c "$1"'
    run = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, IN_A_SMALL_FOLDER],
        env={**os.environ, "PENSTOCK_CORE": core},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare" in run.stderr or "mount" in run.stderr:
        pytest.skip(f"no mount of our own: {run.stderr}")
    assert run.returncode == 0, run.stderr
    large, item, size = run.stdout.splitlines()
    assert "no room in /dev/shm/penstock-0 for the queue 'large' of 8388608 bytes" in large
    assert "No space left" in large
    assert "no room for an item of 4194" in item
    assert size == "100000"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root")
def test_where_there_is_no_folder_of_shared_memory(core, tmp_path):
    script = 'mount --bind "$0" /dev && exec "$1" -c "$2"'
    program = (
        "from penstock.queues.process import ProcessQueue\n"
        "queue = ProcessQueue(name='here')\n"
        "queue.put(1)\n"
        "import os\n"
        f"print(queue.get(), os.listdir({str(tmp_path)!r} + '/penstock-0'))\n"
    )
    (tmp_path / "null").touch()
    run = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, str(tmp_path), sys.executable, program],
        env={**os.environ, "PENSTOCK_CORE": core, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare" in run.stderr or "mount" in run.stderr:
        pytest.skip(f"no mount of our own: {run.stderr}")
    assert run.stdout == "1 ['queue.here']\n", run.stderr


def test_no_more_descriptors(kind, name):
    def make():
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        for options in ({}, {"name": name}):
            with pytest.raises(QueueError, match="Too many open files"):
                kind(**options)

    assert Child(make).code() == 0
