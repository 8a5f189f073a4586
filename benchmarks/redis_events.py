"""What events cost on Redis: without `-E` nothing is said, with it three events for each task.

One worker with two executors drains no-op tasks, as in redis_drain.py: without `-E`; with it and
nobody there to hear; with it and a client that hears all of them. Beside it the same of Celery.
The server itself counts what was published: a result is told to whoever waits for it, once; the
rest are events, and of those many may go in one message.

    python benchmarks/redis_events.py [--runs 3] [--tasks 10000] [--only penstock] [--json FILE]
"""

import argparse
import contextlib
import dataclasses
import shutil
import socket
import subprocess
import sys

import _marks
from _redis import redis_pid, redis_server
from _systems import SYSTEMS, cpu, placed, wait
from _table import Table

TOLD = 1  # times that a result is told
SLOW = 0.1  # of the tasks, for Celery: a run takes seconds, too


def with_events(name):
    """The same system, whose workers tell what becomes of tasks."""
    system = SYSTEMS[name]
    told = f"{name} -E"
    SYSTEMS[told] = dataclasses.replace(system, name=told, command=f"{system.command} -E")
    return told


def published(port):
    """How many messages were published on the server so far."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"INFO commandstats\r\n")
        said = ""
        while "cmdstat_info" not in said and len(said) < 65_536:
            said += line.recv(65_536).decode()
    return int(said.partition("cmdstat_publish:calls=")[2].partition(",")[0] or 0)


@contextlib.contextmanager
def hearing(port):
    """A client that hears all events; so cheap that what is measured is their being said."""
    program = shutil.which("redis-cli") or sys.exit("redis-cli is not installed")
    command = [program, "-p", str(port), "PSUBSCRIBE", "*celeryev*"]
    client = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        client.stdout.readline()  # it is subscribed
        client.stdout.readline()
        reader = subprocess.Popen(
            ["cat"], stdin=client.stdout, stdout=subprocess.DEVNULL
        )  # what it says must go somewhere
        yield
    finally:
        client.kill()
        client.wait()
        reader.wait()
        client.stdout.close()


def drain(name, count, port, *, heard=False):
    """Tasks a second, CPU seconds per 10,000 of the worker and of Redis, messages per task."""
    listener = hearing(port) if heard else contextlib.nullcontext()
    with placed(name, port) as place, listener, place.worker(2) as worker:
        with place.stopped(worker) as everyone:
            place.send(0, count)
            server, said = [redis_pid(port)], published(port)
            before, broker = cpu(everyone), cpu(server)
        wait(lambda: _marks.done(place.folder, count) == count, timeout=60 + count / 100)
        used, broker = cpu(everyone) - before, cpu(server) - broker
        runs, seconds = _marks.read(place.folder, count)
        said = published(port) - said
    assert all(times == 1 for times in runs), f"{name}: not every task ran once"
    return {
        "tasks/s": (count - 1) / seconds,
        "worker CPU s/10k": used / count * 10_000,
        "broker CPU s/10k": broker / count * 10_000,
        "messages a task": max(0.0, said / count - TOLD),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--only", default="penstock,celery")
    parser.add_argument("--json")
    options = parser.parse_args()
    table = Table("no-ops, 2 executors", "results kept")
    names = [(name, with_events(name)) for name in options.only.split(",")]
    with redis_server() as port:
        for _ in range(options.runs):
            for silent, told in names:
                count = int(options.tasks * (SLOW if silent == "celery" else 1))
                table.add(silent, drain(silent, count, port))
                table.add(f"{silent}, heard", drain(silent, count, port, heard=True))
                table.add(told, drain(told, count, port))
                table.add(f"{told}, heard", drain(told, count, port, heard=True))
    table.show("tasks/s", against=names[0][0])
    table.keep(options.json)


if __name__ == "__main__":
    main()
