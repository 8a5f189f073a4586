"""Results in memcached and in databases, which real Celery workers and clients share."""

import os

import pytest

from interop.cases import CASES, Scene
from interop.fleet import Fleet
from workers import wait_for

FULL = os.environ.get("INTEROP") == "full"
STORES = ("memcached", "mariadb", "postgres")
KINDS = ("celery", "penstock")
# Of workers with stores; without INTEROP=full each store with one kind.
PAIRS = [(kind, store) for kind in KINDS for store in STORES]
SLICE = [("penstock", "memcached"), ("celery", "mariadb"), ("penstock", "postgres")]


def store_url(request, kind):
    """The URL of a store as both sides write it."""
    server = request.getfixturevalue(f"{kind}_server")
    server.ensure()
    if kind == "memcached":
        return server.url()
    if kind == "mariadb":
        server.empty()
        return server.url(scheme="db+mysql+pymysql")
    server.sql("DROP TABLE IF EXISTS celery_taskmeta, celery_tasksetmeta, penstock_results")
    return f"db+{server.url()}".replace("db+postgresql:", "db+postgresql+psycopg:")


@pytest.fixture(scope="module", params=PAIRS if FULL else SLICE, ids="-".join)
def fleet(request, interop_server, tmp_path_factory):
    kind, store = request.param
    folder = tmp_path_factory.mktemp(f"stores-{kind}")
    results = store_url(request, store)
    with Fleet(
        interop_server, folder, settings={"result_extended": True}, results=results
    ) as fleet:
        fleet.worker(kind)
        yield fleet


def other(fleet):
    (worker,) = fleet.workers
    return Scene(fleet.client("penstock" if worker.kind == "celery" else "celery"), fleet)


def test_a_value(fleet):
    assert other(fleet).value("add", 2, 3) == 5


def test_types_that_json_lacks(fleet):
    (typed,) = [case for case in CASES if getattr(case.act, "task", None) == "typed"][:1]
    assert typed.act(other(fleet)) == typed.sees


def test_a_failure_is_raised_as_itself(fleet):
    scene = other(fleet)
    assert scene.client("raised", scene.send("fail", "boom")) == ("ValueError", ("boom",), False)


def test_states_on_the_way_are_seen(fleet):
    scene, gate = other(fleet), fleet.gate()
    task_id = scene.send("progress", gate.name)
    told = {"done": 3, "total": 10}
    wait_for(lambda: scene.client("look", task_id)["info"] == told, what="the progress")
    assert scene.client("look", task_id)["state"] == "PROGRESS"
    gate.open()
    assert scene.outcome(task_id) == ("SUCCESS", "finished", None)


def test_the_extended_form(fleet):
    scene = other(fleet)
    task_id = scene.send("add", 2, 3)
    scene.outcome(task_id)
    seen = scene.client("look", task_id)
    told = {name: seen[name] for name in ("name", "args", "kwargs", "retries", "queue", "done")}
    assert told == {
        "name": "interop_tasks.add",
        "args": [2, 3],
        "kwargs": {},
        "retries": 0,
        "queue": "celery",
        "done": True,
    }


def test_children(fleet):
    scene = other(fleet)
    task_id = scene.send("parent", 1)
    _, (_, *children), _ = scene.outcome(task_id)
    assert scene.client("look", task_id)["children"] == children


def test_forgotten_by_one_is_gone_for_the_other(fleet):
    scene = other(fleet)
    task_id = scene.send("add", 2, 3)
    scene.outcome(task_id)
    scene.client("forget", task_id)
    assert fleet.client(fleet.workers[0].kind)("look", task_id)["state"] == "PENDING"
