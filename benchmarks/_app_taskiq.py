"""A peer under measurement; see _systems.py. Streams: its broker that acknowledges."""

import asyncio
import os

from _marks import mark, note_late
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ.get("REDIS_URL", "")
broker = RedisStreamBroker(URL + "/6")
if os.environ.get("RESULTS"):
    broker = broker.with_result_backend(RedisAsyncResultBackend(URL + "/7", result_ex_time=3600))


@broker.task
async def run(number: int) -> int:
    mark(number)
    return number


@broker.task
async def nap(number: int) -> None:
    await asyncio.sleep(0.01)
    mark(number)


@broker.task
async def take(number: int, payload: str) -> None:
    mark(number)


@broker.task
async def late(due: float) -> None:
    note_late(due)
