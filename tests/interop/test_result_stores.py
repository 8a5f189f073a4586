"""Results in memcached and in databases, which real Celery workers and clients share."""

import pytest

from interop.cases import CASES, Scene
from interop.fleet import Fleet

STORES = ("memcached", "mariadb", "postgres")
KINDS = ("celery", "penstock")


@pytest.fixture(scope="module", params=STORES)
def store(request):
    """The URL of a store as both sides write it."""
    server = request.getfixturevalue(f"{request.param}_server")
    server.ensure()
    if request.param == "memcached":
        return server.url()
    if request.param == "mariadb":
        server.empty()
        return server.url(scheme="db+mysql+pymysql")
    server.sql("DROP TABLE IF EXISTS celery_taskmeta, celery_tasksetmeta, penstock_results")
    return f"db+{server.url()}".replace("db+postgresql:", "db+postgresql+psycopg:")


@pytest.fixture(scope="module", params=KINDS)
def fleet(request, store, interop_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"stores-{request.param}")
    settings = {"result_extended": True}
    with Fleet(interop_server, folder, settings=settings, results=store) as fleet:
        fleet.worker(request.param)
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
    seen = scene.look_when(task_id, "PROGRESS")
    assert seen["info"] == {"done": 3, "total": 10}
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
