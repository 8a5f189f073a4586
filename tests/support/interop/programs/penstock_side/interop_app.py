"""The app, as penstock has it. The tasks are in interop_tasks.py, the same for both."""

import json
import os

from penstock import App, Ignore, Reject
from penstock.errors import ResultTimeout as NotReady

__all__ = ["Ignore", "NotReady", "Reject", "app", "begin", "send_many"]

app = App(
    "interop_tasks",
    broker=os.environ["INTEROP_BROKER"],
    backend=os.environ["INTEROP_BACKEND"],
    **json.loads(os.environ.get("INTEROP_SETTINGS", "{}")),
)


def begin(run):
    """A retry and its state are one step: nobody has to wait for it."""


def send_many(task, calls):
    return task.send_many(calls)
