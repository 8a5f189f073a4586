"""A client in the storm: sends tasks, reads their results, and writes down what it was told.

    python storm_client.py send PREFIX COUNT SEED      send so many, then wait for all results
    python storm_client.py finish SECONDS              at the end: read everything once more

It speaks through the module that STORM_TASKS names. What it writes is what a user may rely on:
a task counts from the moment at which sending it returned.
"""

import importlib
import os
import queue
import random
import sys
import threading
import time
import traceback
from pathlib import Path

from penstock.testing.history import Recorder, read

AHEAD = int(os.environ.get("STORM_AHEAD", "400"))  # tasks sent and not yet read
GIVE_UP = float(os.environ.get("STORM_PATIENCE", "60"))  # seconds to wait for one result
ENOUGH = 1  # results that did not come in time
LONG = float(os.environ.get("STORM_LONG", "1"))  # seconds
LATEST = float(os.environ.get("STORM_LATEST", "0.5"))  # countdown of a delayed task
MANY = 20
KINDS = {"plain": 85, "many": 3, "later": 4, "retry": 4, "fail": 4}

sys.path.insert(0, "")
tasks = importlib.import_module(os.environ.get("STORM_TASKS", "storm_tasks"))
history = Recorder(os.environ["STORM_HISTORY"])
CALM = Path(os.environ.get("STORM_CALM", "."))  # sends until it is there, and its count at least
SECRET = os.environ.get("STORM_SECRET", "")
ONLY = os.environ.get("STORM_KIND")


class Client:
    """One thread sends, the other reads: like a service that waits for what it asked for."""

    def __init__(self, prefix, count, seed):
        self.prefix, self.count = prefix, count
        self.random = random.Random(seed)
        self.acked = queue.SimpleQueue()
        self.room = threading.Semaphore(AHEAD)

    def run(self):
        sender = threading.Thread(target=self.send_all, daemon=True)
        sender.start()
        while (item := self.acked.get()) is not None:
            note_result(*item, GIVE_UP)
            self.room.release()

    def send_all(self):
        try:
            self.send_each()
        except BaseException:  # noqa: BLE001 - a client that does not send is no client
            traceback.print_exc()
            os._exit(3)

    def send_each(self):
        number = 0
        while number < self.count or not CALM.exists():
            kind = ONLY or self.random.choices(tuple(KINDS), tuple(KINDS.values()))[0]
            many = MANY if kind == "many" else 1
            mark = "-poison" if kind == "poison" else ""
            names = [f"{self.prefix}-{number + place}{mark}" for place in range(many)]
            for _ in names:
                self.room.acquire()
            self.send(kind, names)
            number += many
        self.acked.put(None)

    def send(self, kind, names):
        seconds = self.random.choice((0.0, 0.001, 0.005, 0.02))
        if kind == "long":
            seconds = LONG
        elif kind == "one long":  # enough to be renewed
            seconds = 1.3 if names[0].endswith("-3") else 0.0
        elif kind == "quick":
            seconds = 0.0
        if kind == "many":
            for name in names:
                history.note("send", phase="invoke", id=name)
            phase, ids = tasks.send_many(names, seconds, secret=SECRET)
            for name, task_id in zip(names, ids or names, strict=True):
                self.told(name, phase, task_id)
            return
        (name,) = names
        countdown = self.random.uniform(0.0, LATEST) if kind == "later" else None
        wishes = {"poison": True} if kind == "poison" else {}
        if countdown is not None:
            wishes["due"] = time.time() + countdown
        history.note("send", phase="invoke", id=name, **wishes)
        phase = tasks.send(name, kind, seconds, secret=SECRET, countdown=countdown)
        self.told(name, phase, name)

    def told(self, name, phase, task_id):
        history.note("send", phase=phase, id=name, task_id=task_id)
        if phase == "ok":
            self.acked.put((name, task_id))
        else:
            self.room.release()


_given_up = []  # what is lost is lost: the verdict does not need an hour of waiting


def note_result(name, task_id, patience, **more):
    """Wait for one result and write down that it came, and whether it is right."""
    deadline = time.monotonic() + (0.0 if len(_given_up) > ENOUGH else patience)
    while True:
        try:
            found = tasks.read(task_id, max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            found = None  # the broker may be away, or it takes its time
        except Exception as error:  # noqa: BLE001 - a broker that is away; the storm is not over
            found = None
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            time.sleep(0.05)
        if found is not None:
            break
        if time.monotonic() >= deadline:
            if patience:
                _given_up.append(name)
            return
    state, said, run, text = found
    good = said == name or ("WorkerLost" in text and name.endswith("poison"))
    history.note("result", id=name, good=good, run=run, state=state, text=text[:200], **more)


def finish(patience):
    """Read all that may have been stored with a fresh client, and the dead letters."""
    sent, sure = {}, set()
    for event in read(history.path):
        if event["op"] == "send" and event["phase"] in {"invoke", "ok", "info"}:
            sent[event["id"]] = event.get("task_id", event["id"])
            if event["phase"] == "ok":
                sure.add(event["id"])
    for name, reason in tasks.dead():
        history.note("dead", id=name, reason=reason)
    for name, task_id in sent.items():
        note_result(name, task_id, patience if name in sure else 0.0, final=True)
    left = tasks.left()
    history.note("finding", check="nothing is left in the queues", ok=not left, text=str(left))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", prefix, count, seed]:
            Client(prefix, int(count), int(seed)).run()
        case ["finish", patience]:
            finish(float(patience))
