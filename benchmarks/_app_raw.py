"""The ceiling beside the systems; see _systems.py. Bare redis-py and four commands a task.

RPUSH, LMOVE to a list of what is in flight, LREM from it, SET of the result: no retries, no
recovery, no choice of anything. `python -m _app_raw PROCESSES BATCH`.
"""

import json
import os
import sys

import redis
from _marks import mark

URL = os.environ.get("REDIS_URL", "") + "/8"
KEPT = bool(os.environ.get("RESULTS"))
_server = redis.Redis.from_url(URL, socket_timeout=None)


def run(number):
    _server.rpush("queue", json.dumps([number, ""]))


def trip(number):
    """One call, there and back."""
    reply = f"reply-{os.getpid()}-{number}"
    _server.rpush("queue", json.dumps([number, reply]))
    return int(_server.blpop(reply, timeout=20)[1])


def serve(batch):
    server = redis.Redis.from_url(URL, socket_timeout=None)
    flight = f"flight-{os.getpid()}"
    while True:
        with server.pipeline(transaction=False) as claim:
            for _ in range(batch):
                claim.lmove("queue", flight, "LEFT", "RIGHT")
            texts = [text for text in claim.execute() if text]
        if not texts:
            texts = [server.blmove("queue", flight, 0, "LEFT", "RIGHT")]
        with server.pipeline(transaction=False) as settle:
            for text in texts:
                number, reply = json.loads(text)
                mark(number)
                settle.lrem(flight, 1, text)
                if reply:
                    settle.rpush(reply, number)
                elif KEPT:
                    settle.set(f"result-{number}", number, ex=3600)
            settle.execute()


if __name__ == "__main__":
    processes, batch = int(sys.argv[1]), int(sys.argv[2])
    for _ in range(processes - 1):
        if os.fork() == 0:
            break
    serve(batch)
