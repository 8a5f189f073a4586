"""Results as messages, Celery's rpc://: either client, either worker."""

import os

import pytest

from interop.cases import CASES, SMOKE, Scene
from interop.fleet import Fleet
from interop.places import OnRabbit

SLICE = {*SMOKE, "many calls", "a killed executor"}
NAMES = {
    *SLICE, "a large value", "retries", "an exception with a cause",
    "typed values in a result", "expired", "an unknown task", "progress",
    "started", "a client gives up waiting", "an id given by the caller",
}  # fmt: skip
LOOKED_AT = {"a retry is seen", "progress", "started"}  # Celery's client sees ends alone
FULL = os.environ.get("INTEROP") == "full"
WANTED = NAMES if FULL else SLICE
ROWS = [pytest.param(case, id=case.name) for case in CASES if case.name in WANTED]
KINDS = ("celery", "penstock")
PAIRS = [(one, two) for one in KINDS for two in KINDS if FULL or one != two]


@pytest.fixture(
    scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]} client, {pair[1]} worker"
)
def scene(request, rabbit_server, interop_server, tmp_path_factory):
    client, worker = request.param
    folder = tmp_path_factory.mktemp("rpc")
    with Fleet(
        interop_server, folder, place=lambda: OnRabbit(rabbit_server), results="rpc://"
    ) as fleet:
        fleet.worker(worker)
        yield Scene(fleet.client(client), fleet)


@pytest.mark.parametrize("case", ROWS)
def test_results_reach_whoever_sent_the_task(scene, case):
    if scene.client.kind == "celery" and case.name in LOOKED_AT:
        return
    assert case.act(scene) == case.sees
