"""The app under the storm, and how the storm's clients speak to it.

Its tasks say themselves when they start and end: that is the ground truth of every verdict.
"""

import json
import os
import signal
import time
from pathlib import Path

from penstock import App, Unavailable, Uncertain
from penstock.crashpoints import reach
from penstock.testing.history import Recorder

# The storm may well meet one task three times; only where poison is asked for is the limit low.
app = App(
    "storm",
    broker=os.environ["STORM_URL"],
    backend=os.environ.get("STORM_BACKEND", os.environ["STORM_URL"]),
    lease_time=float(os.environ.get("STORM_LEASE", "15")),
    crash_limit=int(os.environ.get("STORM_CRASH_LIMIT", "1000")),
    publish_timeout=2.0,
    worker_shutdown_timeout=5.0,
    **json.loads(os.environ.get("STORM_SETTINGS", "{}")),
)
history = Recorder(os.environ["STORM_HISTORY"])


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@app.executor_started
def tell_who_i_am():
    zygote = os.getppid()
    history.note("up", zygote=zygote, supervisor=parent_of(zygote))


@app.task(bind=True, name="work", max_retries=5)
def work(self, name, kind, seconds, secret=""):
    """Say so, work, say so; ``kind`` is plain, retry, fail, poison."""
    request = self.request
    run = f"{os.getpid()}-{time.monotonic_ns()}"
    told = {"id": name, "run": run, "retry": request.retries, "attempt": request.attempt}
    history.note("start", **told, wall=time.time())
    reach("running")
    if kind == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds)  # the work itself: what the storm interrupts
    history.note("end", **told)
    if kind == "retry" and not request.retries:
        raise self.retry(countdown=seconds)
    if kind == "fail":
        raise ValueError(name, run)
    return [name, run]


# --- how a client speaks to it; other libraries have a module with the same functions ----------


def send(name, kind, seconds, *, secret, countdown=None):
    """Send one; gives the id, or None with the phase: fail (surely not stored) or info."""
    options = {} if countdown is None else {"countdown": countdown}
    try:
        work.apply_async((name, kind, seconds), {"secret": secret}, task_id=name, **options)
    except Unavailable:
        return "fail"
    except Uncertain:
        return "info"
    return "ok"


def send_many(names, seconds, *, secret):
    """Send several at once; gives the phase and their ids."""
    calls = [(name, "plain", seconds, secret) for name in names]
    try:
        results = work.send_many(calls)
    except Unavailable:
        return "fail", []
    except Uncertain:
        return "info", []
    return "ok", [result.id for result in results]


def read(task_id, timeout):
    """What became of it: None while it is not finished, else (state, name, run, text)."""
    result = app.AsyncResult(task_id)
    value = result.get(timeout=timeout, propagate=False)
    name, run = (value.args if isinstance(value, Exception) else value) or (None, None)
    return result.state, name, run, repr(value)


def dead():
    """The dead letters: (name, reason)."""
    return [(letter.message.id, letter.reason) for letter in app.broker.dead(limit=100_000)]


def left():
    """What the broker still has, in words; nothing when it has nothing."""
    return [
        f"{queue.name}: ready {queue.ready}, delayed {queue.delayed}, leased {queue.leased}"
        for queue in app.broker.queues()
        if queue.ready or queue.delayed or queue.leased
    ]
