"""A peer under measurement; see _systems.py. Results by its own middleware, where they are kept."""

import os
import time

import dramatiq
from _marks import mark, note_late
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL = os.environ.get("REDIS_URL", "")
KEPT = bool(os.environ.get("RESULTS"))
broker = RedisBroker(url=URL + "/4")
if KEPT:
    broker.add_middleware(Results(backend=RedisBackend(url=URL + "/5")))
dramatiq.set_broker(broker)
options = {"store_results": True} if KEPT else {}


@dramatiq.actor(**options)
def run(number):
    mark(number)
    return number if KEPT else None


@dramatiq.actor
def nap(number):
    time.sleep(0.01)
    mark(number)


@dramatiq.actor
def take(number, payload):
    mark(number)


@dramatiq.actor
def late(due):
    note_late(due)
