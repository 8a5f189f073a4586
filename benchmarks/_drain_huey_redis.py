"""The peer under measurement; see redis_drain.py. Priorities cost it speed: its plain queue."""

import os

from _marks import mark
from huey import RedisHuey

huey = RedisHuey("drain", url=os.environ.get("REDIS_URL", "") + "/3", results=True)


@huey.task()
def run(number):
    mark(number)
    return number
