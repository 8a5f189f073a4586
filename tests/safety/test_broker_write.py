"""Whoever can write to the broker can have registered tasks run, and nothing else."""

import base64
import json
import os
import pickle
import subprocess
import sys

import pytest

from penstock.errors import DecodeError, NotRegistered, TaskFailed
from penstock.message import Message, Record
from penstock.wire.envelope import unpack
from penstock.wire.result import decode_result
from servers import RedisServer
from wire_samples import raw
from workers import wait_for

PICKLE = "application/x-python-serialize"
# An audit hook cannot be removed: it is for the worker's processes alone, not for the tests' own.
TASKS = """
WATCHED = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen",
           "marshal.loads", "code.__new__"}

def hook(event, args):
    if event in WATCHED or (event == "import" and args[0] in {"antigravity", "turtle", "this"}):
        note(f"{event} {args[0]}")

if sys.argv[0].endswith("__main__.py"):
    sys.addaudithook(hook)

@app.task
def forms():
    return sorted(sys.modules.keys() & {"antigravity", "turtle", "this"})

class Secret:
    @staticmethod
    def method():
        note("method ran")

def helper():
    note("helper ran")
"""
NAMES = [
    "os.system", "builtins.eval", "__import__", "builtins.__import__", "subprocess.Popen",
    "tasks.helper", "tasks.Secret.method", "tasks.add.__globals__", "tasks.add.run",
    "tasks.app.close", "antigravity", "antigravity.webbrowser", "tasks:add", "../tasks.add",
    "celery.accumulate", "celery.backend_cleanup", "eval", "tasks.add()", "tasks.ADD",
    " tasks.add", "tasks.add\x00", "penstock.worker.worker.run_worker",
]  # fmt: skip


class Touch:
    """Unpickling one leaves a file."""

    def __reduce__(self):
        return (os.system, ("touch pwned",))


def task_message(name, task_id, body=b'[["touch pwned"], {}, null]', **properties):
    headers = {"task": name, "id": task_id}
    return Message(id=task_id, queue="celery", headers=headers, body=body, properties=properties)


def test_a_name_is_looked_up_in_the_apps_own_table_and_nowhere_else(bench):
    app = bench.tasks(TASKS).app
    app.broker.publish([task_message(name, f"id-{n}") for n, name in enumerate(NAMES)])
    bench.worker("-c", "1")
    for n, name in enumerate(NAMES):
        with pytest.raises(NotRegistered):
            app.AsyncResult(f"id-{n}").get(timeout=20)
        assert name
    letters = {letter.message.id: letter.reason for letter in app.broker.dead(None, 100)}
    assert set(letters) == {f"id-{n}" for n in range(len(NAMES))}
    assert all("no task is registered" in reason for reason in letters.values())
    assert app.send_task("tasks.forms").get(timeout=20) == []
    assert bench.journal() == []
    assert not (bench.folder / "pwned").exists()


ODD = [
    ("pickle", pickle.dumps(([Touch()], {}, {})), {"content_type": PICKLE}),
    ("pickle, as its number says", pickle.dumps(([Touch()], {}, {})), {"content_type": "pickle"}),
    ("pickle called JSON", pickle.dumps(([Touch()], {}, {})), {"content_type": "application/json"}),
    ("yaml", b"!!python/object/apply:os.system ['touch pwned']", {"content_type": "text/yaml"}),
    ("py/object", b'[[{"py/object": "os.system", "py/reduce": ["touch pwned"]}], {}, null]', {}),
    ("typed", b'[[{"__type__": "os.system", "__value__": "touch pwned"}], {}, null]', {}),
    ("no list", b'{"__import__": "antigravity"}', {}),
]  # fmt: skip


def test_no_body_runs_code(bench):
    app = bench.tasks(TASKS).app
    app.broker.publish(
        [task_message("tasks.forms", name, body, **said) for name, body, said in ODD]
    )
    bench.worker("-c", "1")
    for name, _, _ in ODD:
        result = app.AsyncResult(name)
        wait_for(result.ready, what=name)
        assert result.failed(), name  # unreadable, or arguments that the task does not take
    assert bench.journal() == []
    assert not (bench.folder / "pwned").exists()


@pytest.fixture(params=["sqlite", "redis"])
def place(request, bench, monkeypatch):
    """How a recorded envelope comes into the queue."""
    if request.param == "sqlite":
        yield lambda app, text: app.broker.publish([unpack(text, queue="celery")])
        return
    with RedisServer() as server:
        monkeypatch.setenv("PENSTOCK_BROKER_URL", server.url())
        yield lambda app, text: server.cli("-x", "LPUSH", "celery", stdin=text)


def test_celerys_pickled_message_runs_where_pickle_is_accepted(bench, place):
    app = bench.tasks("app.conf.accept_content = ['json', 'pickle']").app
    sent = json.loads(raw("msg-pickle"))
    place(app, raw("msg-pickle"))
    bench.worker("-c", "1")
    assert app.AsyncResult(sent["headers"]["id"]).get(timeout=20) == 3


def test_and_elsewhere_it_is_a_dead_letter_that_says_what_to_do(bench, place):
    app = bench.tasks(TASKS).app
    sent = json.loads(raw("msg-pickle"))
    sent["body"] = base64.b64encode(pickle.dumps(((1, Touch()), {}, {}))).decode()
    place(app, json.dumps(sent))
    worker = bench.worker("-c", "1")
    with pytest.raises(DecodeError, match="let its sender use the json serializer"):
        app.AsyncResult(sent["headers"]["id"]).get(timeout=20)
    (letter,) = wait_for(lambda: app.broker.dead(None, 10), what="the dead letter")
    assert letter.message.id == sent["headers"]["id"]
    assert 'accept_content=["json", "pickle"]' in letter.reason
    worker.line(
        "is a dead letter: unreadable: its content type is 'application/x-python-serialize'"
    )
    assert app.send_task("tasks.add", (1, 2)).get(timeout=20) == 3
    assert bench.journal() == []
    assert not (bench.folder / "pwned").exists()


def test_a_pickled_call_with_what_json_lacks_is_retried_as_it_was(bench):
    app = bench.tasks("""
        app.conf.accept_content = ['json', 'pickle']

        @app.task(bind=True, max_retries=2, default_retry_delay=0)
        def patient(self, numbers):
            if self.request.retries < 2:
                raise self.retry()
            return sorted(numbers)
    """).app
    body = pickle.dumps((({3, 1, 2},), {}, {}))
    app.broker.publish([task_message("tasks.patient", "p", body, content_type=PICKLE)])
    bench.worker("-c", "1")
    assert app.AsyncResult("p").get(timeout=20) == [1, 2, 3]


def test_a_retry_with_what_json_lacks_is_a_failure_and_kills_nobody(bench):
    app = bench.tasks("""
        @app.task(bind=True)
        def rash(self):
            raise self.retry(args=[{1, 2}], countdown=0)
    """).app
    worker = bench.worker("-c", "1")
    (executor,) = worker.staffed(1)
    failed = app.send_task("tasks.rash")
    wait_for(failed.ready)
    assert "of type set has no form in JSON" in str(failed.result)
    assert worker.executors() == [executor]


# --- results ---------------------------------------------------------------------------------

FORGED = [
    ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("subprocess", "Popen"),
    ("antigravity", "AnyError"), ("this", "s"), ("builtins", "SystemExit"), ("sys", "modules"),
    ("builtins", "KeyboardInterrupt"), ("builtins", "BaseException"), ("builtins", "__import__"),
    ("builtins", "ValueError.__init__"), ("os.path", "os.system"), ("", ""),
    ("penstock.errors", "__builtins__.eval"),
]  # fmt: skip


def test_an_exception_is_looked_up_among_imported_classes_and_never_made_of_anything_else():
    program = f"""
import os, subprocess, sys
from penstock.errors import TaskFailed
from penstock.wire.result import read_exception
read_exception({{"exc_type": "KeyError", "exc_module": "builtins"}})
before, events = set(sys.modules), []
watched = {{"import", "os.system", "subprocess.Popen", "exec", "compile", "os.exec", "open"}}
sys.addaudithook(lambda event, args: events.append((event, args)) if event in watched else None)
for module, name in {FORGED!r}:
    said = {{"exc_type": name, "exc_module": module, "exc_message": ["touch pwned"]}}
    made = read_exception(said)
    assert type(made) is TaskFailed, (module, name)
assert not events, events
assert set(sys.modules) == before
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_a_forged_result_does_nothing_to_its_reader(bench):
    app = bench.tasks().app
    for n, (module, name) in enumerate(FORGED):
        forged = {"exc_type": name, "exc_module": module, "exc_message": ["touch pwned"]}
        document = {"task_id": f"r{n}", "status": "FAILURE", "result": forged, "traceback": None}
        data = json.dumps(document).encode()
        app.store.put([Record(id=f"r{n}", state="FAILURE", document=data, final=True)])
        with pytest.raises(TaskFailed):
            app.AsyncResult(f"r{n}").get(timeout=5)
    app.store.put(
        [Record(id="p", state="SUCCESS", document=pickle.dumps({"status": Touch()}), final=True)]
    )
    with pytest.raises(DecodeError, match="pickle"):
        app.AsyncResult("p").get(timeout=5)
    with pytest.raises(DecodeError, match="pickle"):
        decode_result(pickle.dumps(Touch(), protocol=2))
    assert not (bench.folder / "pwned").exists()
