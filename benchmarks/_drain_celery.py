"""The peer under measurement; see redis_drain.py. Settings as its documentation advises."""

import os

from _marks import mark
from celery import Celery

URL = os.environ.get("REDIS_URL", "")
app = Celery("drain", broker=URL + "/1", backend=URL + "/2")
app.conf.update(
    worker_prefetch_multiplier=16,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    result_expires=3600,
)


@app.task(name="run")
def run(number):
    mark(number)
    return number
