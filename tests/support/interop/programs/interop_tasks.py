"""The tasks, word for word the same for Celery and for penstock: only the app differs."""

import datetime as dt
import os
import signal
import time
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from interop_app import Ignore, Reject, app, begin
from interop_errors import AppError

FOLDER = os.environ["INTEROP_FOLDER"]
WHO = os.environ.get("INTEROP_WHO", "nobody")  # which worker this is


def note(*words):
    """One line in the journal, in one write: it outlives whoever wrote it."""
    journal = os.open(f"{FOLDER}/journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(journal, (" ".join(map(str, (WHO, *words))) + "\n").encode())
    os.close(journal)


def until(gate):
    """Wait until the test opens the gate."""
    Path(FOLDER, gate).read_text()


TYPED = {
    "datetime": dt.datetime(2024, 1, 2, 3, 4, 5, 678901, dt.UTC),
    "naive": dt.datetime(2024, 1, 2, 3, 4, 5),  # noqa: DTZ001 - a kind of its own
    "date": dt.date(2024, 1, 2),
    "time": dt.time(3, 4, 5, 6),
    "decimal": Decimal("1.50"),
    "uuid": UUID("12345678123456781234567812345678"),
    "bytes": b"abc",
    "binary": b"\xff\x00",
    "tuple": (1, 2),
    "inf": float("inf"),
}


# --- values ------------------------------------------------------------------------------------


@app.task
def add(x, y):
    return x + y


@app.task(name="tasks.add", typing=False)
def recorded_add(x, y):
    """Under the name that recorded messages ask for."""
    return x + y


@app.task
def echo(*args, **kwargs):
    return {"args": args, "kwargs": kwargs}


@app.task
def seen(*values):
    """What arrives, as text: what is sent back is no proof of what was here."""
    return [repr(value) for value in values]


@app.task
def typed():
    return TYPED


@app.task
def late_typed(gate):
    until(gate)
    return TYPED


@app.task(bind=True)
def request(self):
    """What a task sees of its own run."""
    mine = self.request
    return {
        "id": mine.id,
        "retries": mine.retries,
        "root_id": mine.root_id,
        "parent_id": mine.parent_id,
        "queue": mine.delivery_info["routing_key"],
        "priority": mine.delivery_info["priority"],
        "customer": getattr(mine, "customer", None),
    }


@app.task(bind=True)
def routed(self):
    return self.request.delivery_info["routing_key"]


@app.task
def moment():
    return time.time()


# --- states ------------------------------------------------------------------------------------


@app.task(bind=True)
def progress(self, gate):
    self.update_state(state="PROGRESS", meta={"done": 3, "total": 10})
    until(gate)
    return "finished"


@app.task(track_started=True)
def started(gate):
    until(gate)
    return "finished"


@app.task(ignore_result=True)
def quiet(word):
    note("quiet", word)
    return word


@app.task
def marked(word):
    note("marked", word)
    return word


@app.task
def ignored(word):
    note("ignored", word)
    raise Ignore


@app.task(acks_late=True)
def refused():
    raise Reject("not mine", requeue=False)


@app.task(bind=True)
def parent(self, x):
    return [self.request.id, request.delay().id, add.delay(x, 1).id]


# --- failures ----------------------------------------------------------------------------------


@app.task
def fail(text="boom"):
    raise ValueError(text)


@app.task
def fail_own(code):
    raise AppError(code)


@app.task
def fail_hidden():
    from interop_hidden import HiddenError

    raise HiddenError("nobody", "knows")


@app.task
def fail_nested():
    try:
        {}["missing"]
    except KeyError as error:
        raise RuntimeError("outer") from error


@app.task
def fail_with_object():
    raise ValueError("an object", {1, 2})


@app.task(typing=False)
def nobody_checks(x, y):
    return x + y


@app.task
def unstorable():
    return {1, 2}


@app.task
def die():
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(time_limit=1)
def hard_limit():
    signal.pause()


@app.task(soft_time_limit=1)
def soft_limit():
    signal.pause()


# --- retries -----------------------------------------------------------------------------------


def in_turn(self):
    """Wait until the run before this one has stored its state, and begin."""
    before, mine = (
        Path(FOLDER, f"run-{self.request.id}-{n}")
        for n in (self.request.retries - 1, self.request.retries)
    )
    while before.exists():
        time.sleep(0.005)
    begin(mine)


@app.task(bind=True, max_retries=5)
def third_time(self, countdown):
    in_turn(self)
    if self.request.retries < 2:
        raise self.retry(countdown=countdown, exc=ValueError("not yet"))
    return self.request.retries


@app.task(bind=True)
def again_behind_gate(self, gate):
    in_turn(self)
    if not self.request.retries:
        raise self.retry(countdown=0, exc=ValueError("try again"))
    until(gate)
    return "at last"


@app.task(bind=True, max_retries=1)
def give_up(self):
    in_turn(self)
    raise self.retry(countdown=0, exc=ValueError("no use"))


@app.task(bind=True, max_retries=1)
def give_up_without_cause(self):
    in_turn(self)
    raise self.retry(countdown=0)


@app.task(bind=True, autoretry_for=(ConnectionError,), max_retries=3, default_retry_delay=0)
def knock(self):
    in_turn(self)
    if self.request.retries < 2:
        raise ConnectionError("nobody at home")
    return self.request.retries


@app.task(bind=True)
def other_arguments(self, word):
    in_turn(self)
    if not self.request.retries:
        raise self.retry(args=[word + " again"], countdown=0)
    return word


# --- load --------------------------------------------------------------------------------------


@app.task(bind=True, acks_late=True)
def work(self, number, seconds):
    note("start", number, os.getpid(), time.monotonic_ns())
    time.sleep(seconds)  # the work itself: what a storm interrupts
    note("end", number, os.getpid(), time.monotonic_ns())
    return number


@app.task
def sleep(seconds):
    time.sleep(seconds)  # work of a known length
    return WHO
