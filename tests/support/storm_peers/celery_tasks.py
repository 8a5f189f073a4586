"""Celery under the storm, tuned for safety as its documentation says."""

import os
import time

from celery import Celery
from celery.exceptions import TimeoutError as NotYet
from celery.signals import worker_process_init

from penstock.testing.history import Recorder

app = Celery("storm", broker=os.environ["STORM_URL"], backend=os.environ["STORM_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": float(os.environ["STORM_LEASE"])},
    broker_connection_retry_on_startup=True,
)
history = Recorder(os.environ["STORM_HISTORY"])


@worker_process_init.connect
def tell_who_i_am(**_):
    history.note("up", zygote=os.getppid(), supervisor=os.getppid())


@app.task(name="work")
def work(name, seconds):
    run = f"{os.getpid()}-{time.monotonic_ns()}"
    history.note("start", id=name, run=run, wall=time.time())
    time.sleep(seconds)
    history.note("end", id=name, run=run)
    return [name, run]


def send(name, kind, seconds, *, secret, countdown=None):
    try:
        work.apply_async((name, seconds), task_id=name)
    except app.connection_for_write().recoverable_connection_errors:
        return "info"
    return "ok"


def read(task_id, timeout):
    result = app.AsyncResult(task_id)
    try:
        value = result.get(timeout=timeout or 0.01, propagate=False)
    except NotYet:
        return None
    name, run = value if isinstance(value, list) else (None, None)
    return result.state, name, run, repr(value)


def dead():
    return []


def left():
    return []
