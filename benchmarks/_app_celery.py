"""A peer under measurement; see _systems.py. Settings as its documentation advises for speed."""

import os
import time

from _marks import mark, note_late
from celery import Celery

URL = os.environ.get("REDIS_URL", "")
app = Celery(
    "bench",
    broker=os.environ.get("BROKER_URL") or URL + "/1",
    backend=os.environ.get("BACKEND_URL") or (URL + "/2" if os.environ.get("RESULTS") else None),
)
app.conf.update(
    worker_prefetch_multiplier=64,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_disable_rate_limits=True,
    broker_connection_retry_on_startup=True,
    task_ignore_result=not os.environ.get("RESULTS"),
    task_acks_late=bool(os.environ.get("LATE")),
    task_reject_on_worker_lost=bool(os.environ.get("LATE")),
    result_expires=3600,
)


@app.task(name="run")
def run(number):
    mark(number)
    return number


@app.task(name="nap")
def nap(number):
    time.sleep(0.01)
    mark(number)


@app.task(name="take")
def take(number, payload):
    mark(number)


@app.task(name="late")
def late(due):
    note_late(due)
