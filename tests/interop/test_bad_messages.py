"""Odd messages, recorded from the field, before a penstock worker: none harms it.

Four of them end a real Celery worker, or lose its connection again and again.
"""

import pytest

from interop.cases import Scene
from interop.fleet import Fleet
from penstock.tasks.app import App
from wire_samples import names, raw
from workers import wait_for

RUN = {  # what comes of those that can be run
    "bad-binary-enc": ("bn1", 3),
    "bad-body-utf8-encoding": ("bu1", 11),
    "bad-embed-null": ("en1", 3),
    "bad-minimal-headers": ("min1", 3),
    "bad-no-body-encoding": ("nb1", 11),
    "bad-no-delivery-tag": ("nd1", 3),
    "bad-past-eta": ("pe1", 3),
    "bad-proto1": ("p1", 7),
    "bad-proto1-utc-eta": ("p2", 7),
    "bad-unknown-headers": ("uh1", 3),
    "bad-z-eta": ("ze1", 3),
}
FAIL = {  # those that end otherwise, without being set aside
    "bad-missing-args": ("ma1", "FAILURE", "TypeError"),
    "bad-naive-expired": ("ne1", "REVOKED", "TaskRevokedError"),
}
DEAD = {  # those that are set aside: the id that its sender may wait for, and the reason
    "bad-args-not-list": ("al1", "args are no list"),
    "bad-bad-eta": ("be1", "its eta: 'not a date'"),
    "bad-bad-json-body": ("bj1", "its body: not JSON"),
    "bad-body-not-triple": ("nt1", "its body is no list of arguments"),
    "bad-disallowed-content-type": ("ct2", "content type is 'application/x-python-serialize'"),
    "bad-kwargs-not-dict": ("kw1", "kwargs are no map"),
    "bad-no-id": (None, "missing required field `id`"),
    "bad-not-a-task": (None, "it is no task"),
    "bad-not-json-envelope": (None, "not JSON"),
    "bad-unknown-content-type": ("ct1", "content type is 'application/x-nothing'"),
    "bad-unknown-task": ("u1", "no task is registered as 'no.such.task'"),
}


@pytest.fixture(scope="module")
def fleet(interop_server, tmp_path_factory):
    with Fleet(interop_server, tmp_path_factory.mktemp("bad")) as fleet:
        fleet.worker("penstock")
        yield fleet


@pytest.fixture(scope="module")
def broker(fleet):
    """To look at dead letters as a program would."""
    app = App("look", broker=fleet.server.url(5), backend=fleet.server.url(6))
    yield app.broker
    app.close()


@pytest.fixture
def client(fleet):
    """A client; after its test the worker is the same process, and works."""
    (worker,) = fleet.workers
    client = fleet.client("celery")
    yield client
    assert Scene(client, fleet).value("add", 1, 1) == 2
    assert worker.running
    fleet.await_drained()


def test_every_odd_message_is_here():
    assert set(names("bad-")) == {*RUN, *FAIL, *DEAD}


@pytest.mark.parametrize("name", RUN)
def test_it_is_run(fleet, client, name):
    task_id, result = RUN[name]
    fleet.broker.lpush("celery", raw(name))
    assert client("outcome", task_id) == ("SUCCESS", result, None)


@pytest.mark.parametrize("name", FAIL)
def test_its_end_is_recorded(fleet, client, name):
    task_id, state, error = FAIL[name]
    fleet.broker.lpush("celery", raw(name))
    ended, _, (name, _, _) = client("outcome", task_id)
    assert (ended, name) == (state, error)


@pytest.mark.parametrize("name", DEAD)
def test_it_is_set_aside_with_a_reason(fleet, client, broker, name):
    task_id, reason = DEAD[name]
    known = {letter.message.key for letter in broker.dead(None, 1000)}
    fleet.broker.lpush("celery", raw(name))

    def letters():
        return [one for one in broker.dead(None, 1000) if one.message.key not in known]

    (letter,) = wait_for(letters, what="a dead letter")
    assert reason in letter.reason
    if task_id is not None:
        assert letter.message.id == task_id
        state, _, error = client("outcome", task_id)
        assert (state, error is not None) == ("FAILURE", True)


@pytest.mark.parametrize("name", ["bad-body-not-triple", "bad-not-json-envelope"])
def test_a_celery_worker_ends_by_it(interop_server, tmp_path, name):
    """Else the tests above would show nothing. The next worker takes it, if it is left."""
    with Fleet(interop_server, tmp_path) as fleet:
        worker = fleet.worker("celery", queues=("fragile",))
        fleet.broker.lpush("fragile", raw(name).replace('"tasks.add"', '"interop_tasks.add"'))
        wait_for(lambda: not worker.running, what="the end of a Celery worker")
        assert "Unrecoverable error" in worker.text
