"""One Redis for all fleets here, and the fleet that a test plays with."""

import pytest

from interop.fleet import Fleet
from servers import RedisServer

KINDS = {"celery": ("celery",), "penstock": ("penstock",), "both": ("celery", "penstock")}


@pytest.fixture(scope="session")
def interop_server():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def fleet(request, interop_server, tmp_path_factory):
    """Workers of one or both kinds, which live as long as tests with this parameter follow."""
    with Fleet(
        interop_server,
        tmp_path_factory.mktemp(request.param),
        settings={"result_extended": True},
        own_settings={"celery": {"worker_prefetch_multiplier": 1}},
    ) as fleet:
        for kind in KINDS[request.param]:
            fleet.worker(kind, ready=False)
        for worker in fleet.workers:
            worker.await_ready()
        yield fleet
