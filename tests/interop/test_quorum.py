"""Quorum queues, as Celery knows them since 5.5: with its delays by exchanges."""

import os
import time

import pytest

from interop.cases import CASES, Scene
from interop.fleet import Fleet
from interop.places import OnRabbit
from workers import wait_for

NAMES = {"a simple call", "many calls", "another queue", "retries", "a retry is seen"}
ROWS = [pytest.param(case, id=case.name) for case in CASES if case.name in NAMES]
PAIRS = [("celery", ("penstock",))]
if os.environ.get("INTEROP") == "full":
    PAIRS += [("penstock", ("celery",)), ("celery", ("celery", "penstock"))]
CELERYS = {
    "task_default_exchange_type": "topic",
    "task_create_missing_queue_type": "quorum",
    "task_create_missing_queue_exchange_type": "topic",
}


@pytest.fixture(
    scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]} client, {' and '.join(pair[1])}"
)
def scene(request, rabbit_server, interop_server, tmp_path_factory):
    client, workers = request.param
    folder = tmp_path_factory.mktemp("quorum")
    with Fleet(
        interop_server,
        folder,
        place=lambda: OnRabbit(rabbit_server),
        settings={"task_default_queue_type": "quorum"},
        own_settings={"celery": CELERYS},
    ) as fleet:
        for kind in workers:
            fleet.worker(kind)
        yield Scene(fleet.client(client), fleet)


@pytest.mark.parametrize("case", ROWS)
def test_cases(scene, case):
    assert case.act(scene) == case.sees


def test_delays_are_kept(scene):
    """Of two seconds: what is shorter than one Celery sends at once."""
    due = time.time() + 2.0
    for queue in ("celery", "second"):
        started = scene.value("moment", countdown=2, queue=queue)
        assert -0.1 <= started - due < 10
        due = time.time() + 2.0


def test_what_is_delayed_waits_in_the_server(scene):
    """No worker holds it: all of them may stop meanwhile.

    Penstock's own queues for delays are used some seconds after they were made; and a busy machine
    takes longer than the shortest delay to list the queues.
    """
    for delay in (3, 6, 12, 24):
        task_id = scene.send("moment", countdown=delay)
        delaying = _delaying(scene.fleet.place.server)
        assert scene.outcome(task_id)[0] == "SUCCESS"
        if delaying:
            break
    assert delaying
    wait_for(lambda: scene.fleet.waiting() == 0, what="a drained queue")


def _delaying(server):
    """The queues for delays, Celery's and penstock's, that hold a message."""
    listed = server.ctl("list_queues", "name", "messages", "--no-table-headers")
    depths = dict(line.split("\t") for line in listed.splitlines())
    kinds = ("celery_delayed_", "penstock.wait.")
    return [name for name, count in depths.items() if name.startswith(kinds) and int(count)]


def test_the_queues_are_quorum_queues(scene):
    listed = scene.fleet.place.server.ctl("list_queues", "name", "type", "--no-table-headers")
    types = dict(line.split("\t") for line in listed.splitlines())
    names = [name for name in types if name.removeprefix("penstock.back.") in {"celery", "second"}]
    assert len(names) >= 2
    assert {types[name] for name in names} == {"quorum"}
