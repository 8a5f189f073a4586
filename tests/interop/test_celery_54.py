"""A few cases with Celery 5.4 and the kombu of its time."""

import pytest

from interop.cases import CASES, SMOKE, Scene
from interop.fleet import Fleet

ROWS = [pytest.param(case, id=case.name) for case in CASES if case.name in SMOKE]


@pytest.fixture(scope="module", params=["celery", "penstock"])
def fleet(request, interop_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"old-{request.param}")
    with Fleet(interop_server, folder, version="5.4", settings={"result_extended": True}) as fleet:
        fleet.worker(request.param)
        yield fleet


@pytest.mark.parametrize("case", ROWS)
def test_with_an_older_celery(fleet, case):
    (worker,) = fleet.workers
    other = "penstock" if worker.kind == "celery" else "celery"
    assert case.act(Scene(fleet.client(other), fleet)) == case.sees
