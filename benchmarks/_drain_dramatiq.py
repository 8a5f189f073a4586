"""The peer under measurement; see redis_drain.py. With its result backend, as the others have."""

import os

import dramatiq
from _marks import mark
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL = os.environ.get("REDIS_URL", "")
broker = RedisBroker(url=URL + "/4")
broker.add_middleware(Results(backend=RedisBackend(url=URL + "/5")))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def run(number):
    mark(number)
    return number
