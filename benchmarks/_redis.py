"""A Redis server for a measurement: on a free port, in a temporary folder, without persistence."""

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time


@contextlib.contextmanager
def redis_server():
    """Its port."""
    program = shutil.which("redis-server") or sys.exit("redis-server is not installed")
    folder = tempfile.mkdtemp(prefix="penstock-bench-redis-")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
    command += ["--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        answers(port)
        yield port
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def redis_pid(port):
    """The process id of the server at that port."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"INFO server\r\n")
        said = line.recv(65_536).decode()
    return int(said.partition("process_id:")[2].partition("\r")[0])


def answers(port):
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(b"PING\r\n")
            if line.recv(5) == b"+PONG":
                return
        assert time.monotonic() < deadline, "redis-server does not answer"
        time.sleep(0.01)
