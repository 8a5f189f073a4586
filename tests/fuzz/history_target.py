"""The checker's own input: what a storm's actors wrote, cut short or damaged."""

import json
import os

from mutation import mutated
from target import Target, attempt

from penstock.testing.history import judge, read

SECOND = 1_000_000_000
PEOPLE = {"zygote": 11, "supervisor": 1}


def _told():
    """A short history with everything in it."""
    yield 0, {"op": "setup", "lease": 3.0, "custody": "lease", "crash_limit": 3, "atomic": True}
    yield 1, {"op": "up", "pid": 101, **PEOPLE}
    for n in range(4):
        name = f"t{n}"
        yield 2 + n, {"op": "send", "phase": "invoke", "id": name, "due": 1.0, "lane": 1, "seq": n}
        yield 3 + n, {"op": "send", "phase": "ok", "id": name, "task_id": name}
        yield (
            4 + n,
            {"op": "start", "id": name, "run": f"r{n}", "retry": 0, "attempt": 1, "wall": 2},
        )
        yield 5 + n, {"op": "end", "id": name, "run": f"r{n}"}
        yield 6 + n, {"op": "result", "id": name, "run": f"r{n}", "good": True, "final": True}
    yield 7, {"op": "fault", "kind": "executor", "pids": [101]}
    yield 7, {"op": "fault", "kind": "stop", "pids": [1], "key": "s", "phase": "begin"}
    yield 9, {"op": "fault", "kind": "stop", "key": "s", "phase": "end"}
    yield 9, {"op": "fault", "kind": "server", "key": "d", "phase": "begin"}
    yield 10, {"op": "fault", "kind": "server", "key": "d", "phase": "end"}
    yield 11, {"op": "sample", "of": 1, "role": "supervisor", "rss": 10, "fds": 3, "threads": 1}
    yield 12, {"op": "state", "id": "t1", "state": "SUCCESS"}
    yield 12, {"op": "dead", "id": "t9", "reason": "why"}
    yield 13, {"op": "finding", "check": "integrity", "ok": True, "text": "ok"}


def lines():
    return [
        json.dumps({"at": at * SECOND, "pid": 101, **event}).encode() + b"\n"
        for at, event in _told()
    ]


def shuffled(chance, corpus):
    """Whole lines in any order, missing and repeated: every one of them is an event."""
    return b"".join(chance.choices(corpus, k=chance.randrange(3 * len(corpus))))


def _with_file(data, act):
    number = os.memfd_create("history")
    try:
        os.write(number, data)
        return act(f"/proc/self/fd/{number}")
    finally:
        os.close(number)


def read_history(data, chance):
    """Bytes that are no history are told as such, with the line."""
    attempt(lambda one: _with_file(one, lambda path: list(read(path))), data, ValueError)


def judge_history(data, chance):
    """Whatever the actors did or did not: there is a verdict."""
    report = _with_file(data, lambda path: judge(read(path)))
    assert list(report.lines())


TARGETS = [
    Target("history", lambda: [b"".join(lines()), *lines()], read_history, mutated),
    Target("verdict", lines, judge_history, shuffled),
]
