"""A PostgreSQL server for a measurement: as installed, durable commits, in a folder of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_USER = "bench"


def program(name):
    """The newest that is installed; Debian keeps each version in a folder of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    where = str(found[-1]) if found else shutil.which(name)
    return where or sys.exit(f"{name} is not installed: apt-get install postgresql")


@contextlib.contextmanager
def postgres_server(**settings):
    """The URL of an empty database; ``settings`` are lines of the server's configuration."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-bench-postgres-"))
    if not os.geteuid():  # it refuses to be root
        shutil.chown(folder, "postgres", "postgres")
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    else:
        become = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    data = str(folder / "data")
    made = [*become, program("initdb"), "-D", data, "-U", _USER, "-A", "trust", "--no-sync"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    command = [*become, program("postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port)]
    command += ["-k", str(folder)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        answers(port)
        yield f"postgresql://{_USER}@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.send_signal(2)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def answers(port):
    deadline = time.monotonic() + 20
    ready = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode:
        assert time.monotonic() < deadline, "postgres does not answer"
        time.sleep(0.02)
