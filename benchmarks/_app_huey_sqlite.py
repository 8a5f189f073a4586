"""The peer under measurement; see drain.py. fsync=True: every commit waits for the disk."""

from _marks import mark
from huey import SqliteHuey

huey = SqliteHuey("drain", filename="huey.db", fsync=True, results=True)


@huey.task()
def run(number):
    mark(number)
    return number
