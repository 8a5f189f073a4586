"""A RabbitMQ server for a measurement: on free ports, as installed, in a folder of its own."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


@contextlib.contextmanager
def rabbit_server():
    """Its URL, and the process id of its Erlang."""
    program = _PROGRAM if _PROGRAM.exists() else shutil.which("rabbitmq-server")
    if program is None:
        sys.exit("rabbitmq-server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="penstock-bench-rabbit-"))
    port, dist, names = (_free_port() for _ in range(3))
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.local = 127.0.0.1:{port}\n")
    (folder / "plugins").write_text("[].")
    environment = os.environ | {
        "HOME": str(folder),
        "RABBITMQ_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_NODENAME": f"bench{dist}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(dist),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RUNNING_UNDER_SYSTEMD": "1",  # no shell that stays in front of it
    }
    mapper = subprocess.Popen([shutil.which("epmd"), "-port", str(names)], env=environment)
    server = subprocess.Popen(
        [program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        _await_ready(server)
        yield f"amqp://guest:guest@127.0.0.1:{port}/", server.pid
    finally:
        for process in (server, mapper):
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _await_ready(server):
    said = []
    for line in server.stdout:
        said.append(line)
        if re.search("completed with", line):
            # What it says later must not fill the pipe.
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return
    sys.exit(f"rabbitmq-server did not start:\n{''.join(said)}")


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
