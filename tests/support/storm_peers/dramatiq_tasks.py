"""Dramatiq under the storm: it acknowledges after the run by itself."""

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends.redis import RedisBackend
from dramatiq.results.errors import ResultFailure, ResultMissing, ResultTimeout

from penstock.testing.history import Recorder

URL = os.environ["STORM_URL"]
history = Recorder(os.environ["STORM_HISTORY"])
broker = RedisBroker(url=URL, heartbeat_timeout=int(float(os.environ["STORM_LEASE"]) * 1000))
backend = RedisBackend(url=URL)
broker.add_middleware(Results(backend=backend, result_ttl=3_600_000))


class Told(dramatiq.Middleware):
    def after_process_boot(self, _broker):
        history.note("up", zygote=os.getppid(), supervisor=os.getppid())


broker.add_middleware(Told())
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def work(name, seconds):
    run = f"{os.getpid()}-{time.monotonic_ns()}"
    history.note("start", id=name, run=run, wall=time.time())
    time.sleep(seconds)
    history.note("end", id=name, run=run)
    return [name, run]


def message(name, seconds=0.0):
    made = work.message(name, seconds)
    return made.copy(message_id=name) if hasattr(made, "copy") else made


def send(name, kind, seconds, *, secret, countdown=None):
    try:
        broker.enqueue(message(name, seconds))
    except dramatiq.errors.ConnectionError:
        return "info"
    return "ok"


def read(task_id, timeout):
    try:
        value = message(task_id).get_result(
            backend=backend, block=True, timeout=int(max(timeout, 0.01) * 1000)
        )
    except (ResultMissing, ResultTimeout):
        return None
    except ResultFailure as error:
        return "FAILURE", None, None, repr(error)
    return "SUCCESS", *value, repr(value)


def dead():
    return []


def left():
    return []
