"""The app, as Celery has it. The tasks are in interop_tasks.py, the same for both."""

import json
import os
import signal
from pathlib import Path

from celery import Celery, exceptions
from celery.exceptions import Ignore, Reject
from celery.signals import task_retry

__all__ = ["Ignore", "NotReady", "Reject", "app", "begin", "send_many"]

app = Celery(
    "interop_tasks",
    broker=os.environ["INTEROP_BROKER"],
    backend=os.environ["INTEROP_BACKEND"],
)
app.conf.broker_connection_retry_on_startup = True
app.conf.update(json.loads(os.environ.get("INTEROP_SETTINGS", "{}")))

NotReady = exceptions.TimeoutError


def begin(run):
    """A run that may ask for another leaves a mark until its own state is stored.

    For Celery sends the retry first: the next run may store its result before this one stores
    RETRY, which then stays.
    """
    run.touch()


@task_retry.connect
def stored(request, **_):
    Path(os.environ["INTEROP_FOLDER"], f"run-{request.id}-{request.retries}").unlink(
        missing_ok=True
    )


def send_many(task, calls):
    return [task.delay(*args) for args in calls]


if "INTEROP_DIE_BEFORE_RECORD" in os.environ:
    # A kill at the worst of moments: a message was popped from its list, and is not yet in the
    # hash of what is in flight.
    from kombu.transport.redis import QoS

    def append(self, message, delivery_tag):
        os.kill(os.getpid(), signal.SIGKILL)

    QoS.append = append
