"""Workers and clients of both kinds at one place, as processes of their own."""

import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
from pathlib import Path

import redis

import celery_env
from interop.places import QUEUES, STEPS, OnRedis
from interop.programs.interop_words import read, write
from programs import Program, start
from servers import absent
from workers import wait_for

__all__ = ["STEPS", "Client", "Fleet", "Worker"]

PROGRAMS = Path(__file__).parent / "programs"
BACKEND = 6  # number of the database
SECONDS_TO_START = 30.0
SECONDS_TO_ANSWER = 40.0


class Fleet:
    """One Redis, flushed, with a folder for gates and journal; workers are started as asked for.

    ``place`` makes where messages go; they go to that Redis without it. ``results`` is the URL of
    another result store than that Redis. ``version`` is Celery's.
    ``settings`` are the apps' on both sides, ``own_settings`` those of one kind alone:
    ``{"celery": {...}}``.
    """

    def __init__(
        self,
        server,
        folder,
        *,
        place=OnRedis,
        version="5.7",
        settings=None,
        own_settings=None,
        results=None,
    ):
        self.server = server
        self.results = results or server.url(BACKEND)
        self.folder = Path(folder)
        self.version = version
        self.settings = settings or {}
        self.own_settings = own_settings or {}
        self.workers = []
        self._clients = {}
        self._numbers = itertools.count(1)
        server.ensure()
        server.flush()
        self.place = place(server) if place is OnRedis else place()
        self.backend = redis.Redis.from_url(server.url(BACKEND), decode_responses=True)

    # --- processes -----------------------------------------------------------------------

    def worker(
        self, kind, *, name=None, queues=QUEUES, concurrency=2, ready=True, extra=None, options=()
    ):
        """A worker of that kind, started; with ``ready`` it consumes already.

        ``extra`` is for its environment, ``options`` for its command line.
        """
        name = name or f"{kind}{next(self._numbers)}"
        command = [
            self.python(kind), "-m", kind, "-A", "interop_tasks", "worker", "-l", "info",
            "-c", str(concurrency), "-Q", ",".join(queues),
            "-n", f"{name}@%h" if kind == "celery" else name, *options,
        ]  # fmt: skip
        environment = self.environment(kind, who=name) | (extra or {})
        worker = Worker(kind, name, Program(command, self.folder, env=environment))
        self.workers.append(worker)
        if ready:
            worker.await_ready()
        return worker

    def client(self, kind):
        """The client of that kind; one for the whole life of the fleet."""
        if kind not in self._clients:
            self._clients[kind] = Client(self, kind)
        return self._clients[kind]

    def python(self, kind):
        if kind == "penstock":
            return sys.executable
        try:
            return str(celery_env.make(self.version))
        except celery_env.CannotMake as error:
            return absent(f"no environment with Celery {self.version}: {error}")

    def environment(self, kind, who="client"):
        path = [str(PROGRAMS / f"{kind}_side"), str(PROGRAMS)]
        if kind == "penstock":
            path += filter(None, [os.environ.get("PYTHONPATH")])
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_", "PYTHON"))}
        return kept | {
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONUNBUFFERED": "1",
            "INTEROP_BROKER": self.place.url,
            "INTEROP_BACKEND": self.results,
            "INTEROP_FOLDER": str(self.folder),
            "INTEROP_WHO": who,
            "INTEROP_SETTINGS": json.dumps(self.settings | self.own_settings.get(kind, {})),
        }

    def close(self):
        for client in self._clients.values():
            client.close()
        for worker in self.workers:
            worker.kill()
        self.place.close()
        self.backend.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def broker(self):
        """A client of the Redis that carries the messages."""
        return self.place.client

    # --- what anybody can see ------------------------------------------------------------

    def gate(self):
        """A gate that a task waits at with until(gate.name)."""
        gate = Gate(self.folder / f"gate-{next(self._numbers)}")
        os.mkfifo(gate.path)
        return gate

    def journal(self):
        """The lines that tasks wrote, as lists of words: who ran it comes first."""
        path = self.folder / "journal"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def record(self, task_id):
        """The stored result document, with its time to live in seconds; None without one."""
        key = f"celery-task-meta-{task_id}"
        text = self.backend.get(key)
        return None if text is None else (json.loads(text), self.backend.ttl(key))

    def waiting(self):
        """Messages that wait, and deliveries that workers hold."""
        return self.place.waiting()

    def await_drained(self):
        """Wait until nothing is left where Celery keeps messages."""
        wait_for(lambda: self.waiting() == 0, what="a drained queue")

    def await_listener(self, task_id):
        """Wait until a client waits for that result, by its channel or a pattern."""

        def listens():
            key = f"celery-task-meta-{task_id}"
            ((_, count),) = self.backend.pubsub_numsub(key)
            return count or self.backend.pubsub_numpat()

        wait_for(listens, what="a client that listens")


class Worker:
    """One worker of a fleet."""

    def __init__(self, kind, name, program):
        self.kind = kind
        self.name = name
        self._program = program

    def await_ready(self):
        assert self._program.says(" ready.", SECONDS_TO_START), self.text

    @property
    def pid(self):
        return self._program.pid

    @property
    def running(self):
        return self._program.running

    @property
    def text(self):
        return self._program.text

    def says(self, text, timeout=SECONDS_TO_START):
        return self._program.says(text, timeout)

    def stop(self):
        return self._program.stop()

    def kill(self):
        return self._program.kill()


class Client:
    """One client: ``client("send", "add", (2, 3))``."""

    def __init__(self, fleet, kind):
        self.kind = kind
        self._errors = fleet.folder / f"{kind}-client.log"
        with self._errors.open("w") as errors:
            self._process = start(
                [fleet.python(kind), PROGRAMS / "interop_client.py"],
                cwd=fleet.folder,
                env=fleet.environment(kind),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def __call__(self, verb, *args, **kwargs):
        self.ask(verb, *args, **kwargs)
        return self.answer()

    def ask(self, verb, *args, **kwargs):
        """Say what it shall do, without waiting for it."""
        self._process.stdin.write(write((verb, args, kwargs)) + "\n")
        self._process.stdin.flush()

    def answer(self):
        """What it answers to the oldest request that has no answer yet."""
        answers = self._process.stdout
        assert select.select([answers], [], [], SECONDS_TO_ANSWER)[0], "the client says nothing"
        line = answers.readline()
        assert line, f"the client is gone:\n{self._errors.read_text()}"
        well, value = read(line)
        assert well, value
        return value

    def close(self):
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class Gate:
    """A named pipe: a task that opens it for reading waits for whoever opens it for writing."""

    def __init__(self, path):
        self.path = path
        self.name = path.name
        self._held = None  # a descriptor that keeps a reader waiting

    def open(self):
        """Let one reader pass, waiting until it is there."""
        os.close(self._awaited())

    def await_reader(self):
        """Wait until a task stands at the gate, which stays shut."""
        self._held = self._awaited()

    def _awaited(self):
        held, self._held = self._held, None
        return held or wait_for(self._opened, what=f"a task at {self.name}")

    def _opened(self):
        try:
            return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            return None
