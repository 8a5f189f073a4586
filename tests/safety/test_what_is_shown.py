"""Hostile text in every field that is logged or shown: no terminal obeys it, no line is forged."""

import os
import pty
import re
import select
import subprocess
import sys

import pytest

from penstock.message import Message
from workers import wait_for

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\n[2026-01-01 00:00:00,000: INFO/MainProcess] forged"
SEEN = r"\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"  # some of it, as it is shown
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028\u2029]")
LINE = re.compile(r"(\[[-0-9: ,]+: \w+/[-\w]+\] (?!forged)|  |$)")  # of a log, or of a traceback

TASKS = f"""
EVIL = {EVIL!r}

class {"Evil" * 3}(Exception):
    pass

@app.task(name="raises" + EVIL)
def raises():
    error = ValueError("text" + EVIL)
    error.add_note("note" + EVIL)
    raise error

@app.task
def returns():
    return "value" + EVIL

class Shown:
    def __repr__(self):
        return "repr" + EVIL

@app.task
def returns_what_cannot_be_stored():
    return Shown()

@app.task(bind=True, max_retries=1)
def retries(self):
    raise self.retry(exc=KeyError("retry" + EVIL), countdown=0)

@app.task
def rejects():
    raise Reject("reason" + EVIL, requeue=False)

@app.task
def dies():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def hostile_message(name, task, *headers, **properties):
    said = {"id": name, "task": task} | dict.fromkeys(headers, EVIL)
    body = f'[["{EVIL}"], {{}}, null'.encode()
    return Message(id=name, queue="celery", headers=said, body=body, properties=properties)


@pytest.fixture
def hostile(bench):
    """A worker that has met it all: its log, its dead letters, its results."""
    module = bench.tasks(TASKS)
    app = module.app
    app.broker.publish(
        [
            hostile_message(f"u{EVIL}", f"no{EVIL}"),
            hostile_message(f"b{EVIL}", f"x{EVIL}", content_type=f"text/{EVIL}"),
            hostile_message("more", None, f"h{EVIL}"),
        ]
    )
    sent = [
        app.send_task(name, task_id=f"{number}{EVIL}")
        for number, name in enumerate([
            f"raises{EVIL}", "tasks.returns", "tasks.returns_what_cannot_be_stored",
            "tasks.retries", "tasks.rejects", "tasks.dies",
        ])
    ]  # fmt: skip
    worker = bench.worker("-c", "1", "-E", "-l", "debug")
    for result in sent:
        wait_for(result.ready, what=result.id)
    wait_for(lambda: len(app.broker.dead(None, 10)) == 5, what="the dead letters")
    app.control.revoke(f"never-was{EVIL}")
    app.control.rate_limit(f"nothing{EVIL}", "1/s", reply=True, timeout=5)
    app.control.broadcast(f"unheard-of{EVIL}", reply=True, timeout=5)
    return bench, worker


def test_the_log_has_one_line_for_each_record_and_nothing_that_is_obeyed(hostile):
    _, worker = hostile
    assert worker.stop() == 0
    log = worker.text
    assert not OBEYED.search(log), OBEYED.search(log)
    for text in ("raises", "text", "note", "value", "retry", "reason", "no", "Received task: "):
        assert text + (SEEN if not text.endswith(" ") else "") in log, text
    lines = log[log.index(" ready.") :].split("\n")[1:]
    for line in lines:
        assert LINE.match(line), line


def on_a_terminal(folder, *words):
    """What a command writes where a terminal looks on."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "-A", "tasks", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(theirs)
    said = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.wait(30) in {0, 1}, said
    text = said.decode().replace("\r\n", "\n")  # the terminal's own
    return re.sub(r"\x1b\[[0-9;]*m", "", text)  # rich's styles


COMMANDS = [
    ("dead", "list"),
    ("dead", "list", "--json"),
    ("dead", "show", f"u{EVIL}"),
    ("dead", "show", f"u{EVIL}", "--json"),
    ("result", f"0{EVIL}"),
    ("result", f"0{EVIL}", "--traceback"),
    ("result", f"0{EVIL}", "--json"),
    ("result", f"1{EVIL}"),
    ("result", f"1{EVIL}", "--json"),
    ("result", f"4{EVIL}"),
    ("inspect", "registered"),
    ("inspect", "revoked"),
    ("inspect", "stats"),
    ("control", "rate_limit", f"nothing{EVIL}", "1/s"),
    ("queues",),
    ("status",),
    ("call", f"no-such{EVIL}", "--task-id", f"called{EVIL}"),
    ("dead", "replay", f"u{EVIL}"),
    ("purge", "celery", "-f"),
]


QUIET = {"queues", "status", "purge", "stats", "rate_limit"}  # they show nothing of it


def test_no_screen_obeys_it(hostile):
    bench, _ = hostile
    for words in COMMANDS:
        text = on_a_terminal(bench.folder, *words)
        assert not OBEYED.search(text), (words, OBEYED.search(text), text)
        if not QUIET.intersection(words):
            assert r"\x1b" in text or r"\u001b" in text, (words, text)


def test_events_stay_on_their_lines(bench, redis_url, monkeypatch):
    monkeypatch.setenv("PENSTOCK_BROKER_URL", redis_url)
    module = bench.tasks(TASKS)
    bench.worker("-c", "1", "-E")
    listener = subprocess.Popen(
        [sys.executable, "-m", "penstock", "-A", "tasks", "events", "-t", "60"],
        cwd=bench.folder,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        first = listener.stdout.readline().decode()  # it listens
        module.app.send_task(f"raises{EVIL}", task_id=f"0{EVIL}")
        lines = [first]
        while "task-failed" not in lines[-1]:
            lines.append(listener.stdout.readline().decode())
            assert lines[-1], lines
    finally:
        listener.kill()
        listener.wait()
        listener.stdout.close()
    assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in lines)
    assert not OBEYED.search("".join(lines))
    assert SEEN in lines[-1]
