"""Huey under the storm. It has no acknowledgement: what a worker took is its own."""

import os
import time

from huey import RedisHuey
from huey.exceptions import ResultTimeout, TaskException

from penstock.testing.history import Recorder

history = Recorder(os.environ["STORM_HISTORY"])
huey = RedisHuey("storm", url=os.environ["STORM_URL"], results=True)


@huey.on_startup()
def tell_who_i_am():
    history.note("up", zygote=os.getppid(), supervisor=os.getppid())


@huey.task()
def work(name, seconds):
    run = f"{os.getpid()}-{time.monotonic_ns()}"
    history.note("start", id=name, run=run, wall=time.time())
    time.sleep(seconds)
    history.note("end", id=name, run=run)
    return [name, run]


def send(name, kind, seconds, *, secret, countdown=None):
    task = work.s(name, seconds)
    task.id = name
    huey.enqueue(task)
    return "ok"


def read(task_id, timeout):
    try:
        value = huey.result(task_id, blocking=True, timeout=max(timeout, 0.01), preserve=True)
    except ResultTimeout:
        return None
    except TaskException as error:
        return "FAILURE", None, None, repr(error)
    return None if value is None else ("SUCCESS", *value, repr(value))


def dead():
    return []


def left():
    return []
