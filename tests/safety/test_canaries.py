"""A password in every URL, a secret among the arguments of every task, and each failure there is:
neither appears in a log, on a screen, in a repr or in a traceback.

Arguments are shown to who asks for them (`inspect active`, `dead show`, `--json` events), and by
nothing else. What a task itself puts into its exception or its result is the task's to tell.
"""

import base64
import contextlib
import gc
import io
import json
import os
import signal
import subprocess
import sys
import traceback
from urllib.parse import quote

import pytest

from penstock import App, PenstockError, open_queue
from penstock.cli import main
from penstock.message import Message
from penstock.url import Url
from workers import Bench, wait_for

ARGUMENT = "canary-in-an-argument-4711"
WRONG = "canary/in:a@wrong?password#4712"
SCENARIO = """
import asyncio

class Odd:
    pass

@app.task
def fine(secret):
    return len(secret)

@app.task
def raises(secret):
    hidden = secret
    raise ValueError("of length %d" % len(hidden))

@app.task(bind=True, max_retries=1, default_retry_delay=0)
def retries(self, secret):
    print(f"{self.request!r} {self!r} {self.app!r} {self.app.conf!r}", file=sys.stderr)
    self.retry(exc=KeyError("again"))

@app.task(autoretry_for=(OSError,), max_retries=1, default_retry_delay=0)
def retries_by_itself(secret):
    raise OSError("not there")

@app.task
def rejects(secret):
    raise Reject("not mine", requeue=False)

@app.task
def has_no_form(secret):
    return Odd()

@app.task
def too_large(secret):
    return "x" * 2_000_000

@app.task
def dies(secret):
    os.kill(os.getpid(), signal.SIGKILL)

@app.task(time_limit=0.3)
def hangs(secret):
    threading.Event().wait()

@app.task(soft_time_limit=0.3, time_limit=30)
def hangs_softly(secret):
    threading.Event().wait()

@app.task
def reports(secret):
    reports.update_state("HALFWAY", meta={"at": 1})
    reports.update_state("HALFWAY", meta=Odd())

@app.task
def asks_for_what_has_no_form(secret):
    asks_for_what_has_no_form.retry(args=(Odd(), secret), countdown=0)

@app.task
async def awaits(secret):
    await asyncio.sleep(0)
    raise LookupError("nothing")

app.conf.update(result_max_bytes=1_000_000, worker_send_task_events=True, publish_timeout=0.2)
"""
TASKS = [
    "fine", "raises", "retries", "retries_by_itself", "rejects", "has_no_form", "too_large", "dies",
    "hangs", "hangs_softly", "reports", "asks_for_what_has_no_form", "awaits", "unheard_of",
]  # fmt: skip
UNREADABLE = {
    "no json": b'[["%b", {}, null]',
    "too deep": b"[" * 100 + b'"%b"' + b"]" * 100,
    "no list": b'{"secret": "%b"}',
    "bad date": b'[[{"__type__": "datetime", "__value__": "%b"}], {}, null]',
    "bad number": b'[[{"__type__": "decimal", "__value__": "%b"}], {}, null]',
    "unknown follow-up": b'[["%b"], {}, {"chain": [{"task": "x", "args": ["%b"]}]}]',
    "wrong follow-up": b'[["%b"], {}, {"callbacks": "%b"}]',
    "no arguments": b'["%b", {}, null]',
}


class Site:
    """A broker with a password, and a store, too."""

    def __init__(self, url, backend, servers):
        self.url = url
        self.backend = backend
        self.servers = servers
        passwords = {server.PASSWORD for server in servers}
        self.canaries = {ARGUMENT, *(form for word in [*passwords, WRONG] for form in forms(word))}

    def clean(self, text, what):
        for canary in self.canaries:
            assert canary not in text, f"{what} tells {canary}:\n{text}"


def forms(word):
    """How a password may stand in text."""
    encoded = base64.b64encode(word.encode()).decode()
    return {word, quote(word), quote(word, safe=""), repr(word)[1:-1], encoded}


# The others in `make faults`.
PLACES = ["sqlite", "redis"] + ["rabbitmq", "postgres"] * (os.environ.get("FAULTS") == "full")


@pytest.fixture(params=PLACES)
def site(request, bench, monkeypatch):
    def server(name):
        found = request.getfixturevalue(f"{name}_server")
        found.ensure()
        return found

    match request.param:
        case "sqlite":
            place = Site("sqlite:///penstock.db", "sqlite:///penstock.db", [])
        case "redis":
            url = request.getfixturevalue("redis_url")
            place = Site(url, url, [server("redis")])
        case "postgres":
            url = request.getfixturevalue("postgres_url")
            place = Site(url, url, [server("postgres")])
        case "rabbitmq":
            url = request.getfixturevalue("rabbit_url")
            backend = request.getfixturevalue("redis_url")
            place = Site(url, backend, [server("rabbit"), server("redis")])
    monkeypatch.setenv("PENSTOCK_BROKER_URL", place.url)
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", place.backend)
    return place


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    bench = Bench(tmp_path)
    yield bench
    sys.modules.pop("tasks", None)  # commands imported it here
    for worker in bench.workers:
        worker.kill()
    if bench.app is not None:
        bench.app.close()


def command(*words, code=(0, 1)):
    """All that a command says, run in this process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            ended = main(["-A", "tasks", *words])
        except NotImplementedError:  # this broker has no such thing
            return said.getvalue()
    assert ended in code, (words, ended, said.getvalue())
    return said.getvalue()


def reprs():
    """The repr of every object of penstock's that there is in this process."""
    found = []
    for one in gc.get_objects():
        if str(type(one).__module__).startswith("penstock.") and not isinstance(one, type):
            with contextlib.suppress(ReferenceError):
                found.append(repr(one))
    return found


# --- tasks that fail in every way ------------------------------------------------------------


def test_failures_of_tasks(site, bench):
    app = bench.tasks(SCENARIO).app
    queue = f"canary-{os.getpid()}"  # RabbitMQ's server is shared with the tests before this one
    app.conf.task_default_queue = queue
    (bench.folder / "tasks.py").write_text(
        (bench.folder / "tasks.py").read_text() + f"\napp.conf.task_default_queue = {queue!r}\n"
    )
    sent = {name: app.send_task(f"tasks.{name}", kwargs={"secret": ARGUMENT}) for name in TASKS}
    sent["wrong arguments"] = app.send_task("unheard_of_too", [ARGUMENT], {ARGUMENT[:6]: ARGUMENT})
    if app.broker.capabilities.delays:
        app.conf.publish_timeout = 10.0  # a fresh RabbitMQ takes what is delayed after 3.5 s
        app.send_task("tasks.fine", [ARGUMENT], countdown=3600)
        app.conf.publish_timeout = 0.2
    expired = app.send_task("tasks.fine", [ARGUMENT], expires=-1)
    app.broker.publish([unreadable(name, body, queue) for name, body in UNREADABLE.items()])
    worker = bench.worker("-c", "2", "-l", "debug", "-Q", queue)
    for name, result in {**sent, "expired": expired}.items():
        wait_for(result.ready, 60, what=name)
    assert "SoftTimeLimitExceeded" in repr(sent["hangs_softly"].result)
    for name in UNREADABLE:
        wait_for(app.AsyncResult(name).ready, what=name)
    screens(site, sent)
    objects(site, app, queue, sent)
    assert worker.stop() == 0
    site.clean(worker.text, "the worker's log")
    assert "ValueError('of length 26')" in worker.text  # it tells what it may


def unreadable(name, body, queue):
    body = body.replace(b"%b", ARGUMENT.encode())
    headers = {"task": "tasks.fine", "id": name, "argsrepr": f"({ARGUMENT!r},)"}
    return Message(id=name, queue=queue, headers=headers, body=body)


def screens(site, sent):
    """Every screen but those that are asked for arguments."""
    for words in [
        ("status",), ("status", "--json"), ("queues",), ("queues", "--json"), ("dead", "list"),
        ("dead", "list", "--json"), ("inspect", "stats", "--json"), ("inspect", "conf"),
        ("inspect", "report"), ("control", "rate_limit", "tasks.fine", "100/s"),
        ("control", "revoke", "nobody"), ("status", "--local", "--json"),
    ]:  # fmt: skip
        site.clean(command(*words), " ".join(words))
    for name, result in sent.items():
        for options in ((), ("--traceback",), ("--json",)):
            site.clean(command("result", result.id, *options), f"result {name} {options}")


def objects(site, app, queue, sent):
    """Every repr and every exception in a client that holds messages, leases and results."""
    letters = app.broker.dead(None, 100)
    assert len(letters) > len(UNREADABLE)
    held = [*letters, app.conf, app.broker, app.store]
    with contextlib.suppress(NotImplementedError):
        held += app.broker.peek(queue, 10)
    held += [app.store.get([result.id]) for result in sent.values()]
    for result in sent.values():
        with contextlib.suppress(Exception):
            result.get(timeout=1)
        try:
            result.get(timeout=1)
        except Exception as error:  # noqa: BLE001 - each fails in its own way
            text = "".join(traceback.format_exception(error))
            site.clean(text, f"the traceback of {error!r}")
    site.clean("\n".join([*reprs(), repr(held)]), "a repr")
    del held


# --- brokers that fail -----------------------------------------------------------------------


def test_a_broker_that_goes_away_and_comes_back(site, bench):
    if not site.servers:
        pytest.skip("a file does not go away")
    bench.tasks(SCENARIO)
    worker = bench.worker("-c", "1", "-l", "debug")
    broker = site.servers[0]
    broker.kill()
    worker.line("The broker is away", 30)
    app = App("tasks", publish_timeout=0.1)
    try:
        for ask in (
            lambda: app.send_task("tasks.fine", [ARGUMENT]),
            app.broker.queues,
            app.broker.workers,
            lambda: app.AsyncResult("nobody").get(timeout=0.1),
        ):
            text = told(ask)
            assert text or broker is not site.servers[-1]
            site.clean(text, "an exception")
        site.clean("\n".join(reprs()), "a repr")
    finally:
        app.close()
    site.clean(command("queues", code=(0, 1, 2)), "queues")
    site.clean(command("status", "--local"), "status")
    broker.restart()
    worker.line("The broker is back", 60)
    worker.stop()
    site.clean(worker.text, "the worker's log")


def told(ask):
    """All that can be read of what is raised."""
    try:
        ask()
    except (PenstockError, TimeoutError, NotImplementedError) as error:
        return "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)
    return ""


def test_a_wrong_password_and_an_address_where_nobody_is(site, bench, monkeypatch):
    if not site.servers:
        pytest.skip("a file has no password")
    bench.tasks(SCENARIO)
    url = Url.parse(site.url)
    user = "" if url.user is None else quote(url.user)
    for port in (url.port, 1):
        wrong = f"{url.scheme}://{user}:{quote(WRONG, safe='')}@127.0.0.1:{port}{url.path}"
        app = App("tasks", broker=wrong, backend=wrong if url.scheme != "amqp" else None)
        app.conf.publish_timeout = 0.1
        try:
            for ask in (
                lambda app=app: app.send_task("tasks.fine", [ARGUMENT]),
                lambda app=app: app.broker.queues(),
                lambda app=app: app.broker.lease(["celery"], 1, 5.0),
                lambda app=app: app.broker.tend(),
                lambda wrong=wrong: open_queue(wrong, "orders").put(ARGUMENT),
            ):
                text = told(ask)
                assert text
                site.clean(text, "an exception")
            site.clean("\n".join([*reprs(), str(app), str(url)]), "a repr")
        finally:
            app.close()
        call = ("call", "tasks.fine", "--args", json.dumps([ARGUMENT]))
        monkeypatch.setenv("PENSTOCK_BROKER_URL", wrong)
        for words in (("queues",), ("dead", "list"), call):
            site.clean(command(*words, code=(2,)), words[0])
        site.clean(a_worker_on(bench, wrong), "a worker")


def a_worker_on(bench, url):
    """What a worker says that cannot get at its broker: it ends, or it waits and is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "-A", "tasks", "worker", "-c", "1", "-l", "debug"],
        cwd=bench.folder,
        env=os.environ | {"PENSTOCK_BROKER_URL": url, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    with process, process.stdout as lines:
        for line in lines:
            said.append(line)
            if "not there yet" in line:
                process.send_signal(signal.SIGTERM)
    return "".join(said)


FORMS = [
    "{s}://u:{p}@host:1/0", "{s}://u:{q}@host:many/0", "{s}//u:{p}@host",
    "{s}://u:{q}@h;{s}://u:{q}@h", "{s}://u:{q}@h,{s}://u:{q}@h", "{s}://u:{q}@h/{s}://u:{q}@h",
]  # fmt: skip
SCHEMES = ["redis", "amqp", "postgresql", "sentinel", "zookeeper", "mysql", "sqlite"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("form", FORMS)
def test_an_address_that_is_none(scheme, form):
    text = form.format(s=scheme, p=WRONG, q=quote(WRONG, safe=""))
    place = Site("", "", [])
    app = None

    def make():
        nonlocal app
        app = App("tasks", broker=text, backend=text)
        place.clean(repr(app), "a repr")
        place.clean(repr(app.conf), "a repr")
        place.clean(repr(app.broker), "a repr")
        place.clean(repr(app.store), "a repr")

    place.clean(told(make), "an exception")
    if app is not None:
        app.close()
