"""A peer under measurement; see _systems.py. Priorities cost it speed: its plain queue."""

import os
import time

from _marks import mark, note_late
from huey import RedisHuey

URL = os.environ.get("REDIS_URL", "")
KEPT = bool(os.environ.get("RESULTS"))
huey = RedisHuey("bench", url=URL + "/3", results=KEPT, notify_result=bool(os.environ.get("TOLD")))


@huey.task()
def run(number):
    mark(number)
    return number if KEPT else None


@huey.task()
def nap(number):
    time.sleep(0.01)
    mark(number)


@huey.task()
def take(number, payload):
    mark(number)


@huey.task()
def late(due):
    note_late(due)
