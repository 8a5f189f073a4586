"""One server of a kind for all fleets here, and the fleet that a test plays with."""

from functools import partial

import pytest

from interop.fleet import Fleet
from interop.places import OnRabbit, OnRedis
from servers import RedisServer

KINDS = {"celery": ("celery",), "penstock": ("penstock",), "both": ("celery", "penstock")}


@pytest.fixture(scope="session")
def interop_server():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def fleet(request, interop_server, tmp_path_factory):
    """Workers of one or both kinds, which live as long as tests with this parameter follow.

    The parameter: where they meet, and which kinds there are.
    """
    where, kinds = request.param
    place = OnRedis
    settings = {"result_extended": True}
    if where == "RabbitMQ":
        place = partial(OnRabbit, request.getfixturevalue("rabbit_server"))
        settings["task_queue_max_priority"] = 9
    with Fleet(
        interop_server,
        tmp_path_factory.mktemp(f"{where}-{kinds}"),
        place=place,
        settings=settings,
        own_settings={"celery": {"worker_prefetch_multiplier": 1}},
    ) as fleet:
        for kind in KINDS[kinds]:
            fleet.worker(kind, ready=False)
        for worker in fleet.workers:
            worker.await_ready()
        yield fleet
