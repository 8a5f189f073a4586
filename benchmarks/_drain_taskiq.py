"""The peer under measurement; see redis_drain.py. Streams: its broker that acknowledges."""

import os

from _marks import mark
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ.get("REDIS_URL", "")
broker = RedisStreamBroker(URL + "/6").with_result_backend(
    RedisAsyncResultBackend(URL + "/7", result_ex_time=3600)
)


@broker.task
async def run(number: int) -> int:
    mark(number)
    return number
