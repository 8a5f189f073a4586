"""What both kinds of clients and workers write into Redis, compared member by member."""

import base64
import json
import re

import pytest

from interop.fleet import STEPS, Fleet
from workers import wait_for

UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
MOMENT = re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?")
ORIGIN = re.compile(r"\bgen\d+@[\w.-]+")
PID = re.compile(r"(?<=['\"]pid['\"]: )\d+")

CALLS = {
    "plain": ("add", (2, 3), {}, {}),
    "keywords": ("echo", (1, "text"), {"b": None, "a": [True, 1.5]}, {}),
    "typed values": ("typed_arguments", (), {}, {}),
    "countdown": ("add", (2, 3), {}, {"countdown": 60}),
    "expires": ("add", (2, 3), {}, {"expires": 60}),
    "urgent": ("add", (2, 3), {}, {"priority": 0}),
    "patient": ("add", (2, 3), {}, {"priority": 7}),
    "last": ("add", (2, 3), {}, {"priority": 9}),
    "another queue": ("add", (2, 3), {}, {"queue": "second"}),
    "an id": ("add", (2, 3), {}, {"task_id": "order-17"}),
    "limits": ("add", (2, 3), {}, {"time_limit": 30, "soft_time_limit": 20}),
    "no result": ("add", (2, 3), {}, {"ignore_result": True}),
    "a task without result": ("quiet", ("word",), {}, {}),
    "own headers": ("add", (2, 3), {}, {"headers": {"customer": "acme"}}),
    "another name to show": ("add", (2, 3), {}, {"shadow": "sum"}),
    "an unknown task": ("no.such.task", (2, 3), {}, {}),
}


@pytest.fixture(scope="module")
def senders(interop_server, tmp_path_factory):
    """Clients without any worker: what they send stays where it is."""
    with Fleet(interop_server, tmp_path_factory.mktemp("senders")) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def runners(interop_server, tmp_path_factory):
    """A worker of each kind, each with a queue of its own."""
    folder = tmp_path_factory.mktemp("runners")
    with Fleet(interop_server, folder, settings={"result_extended": True}) as fleet:
        fleet.worker("celery", queues=("celery-only",), name="one", ready=False)
        fleet.worker("penstock", queues=("penstock-only",), name="two", ready=False)
        for worker in fleet.workers:
            worker.await_ready()
        yield fleet


def neutral(value, task_id=None):
    """The value with ids, moments and places by their kinds, so that two of them can be equal."""
    text = json.dumps(value)
    if task_id:
        text = text.replace(task_id, "ID")
    for pattern, name in ((UUID, "UUID"), (MOMENT, "MOMENT"), (ORIGIN, "ORIGIN"), (PID, "0")):
        text = pattern.sub(name, text)
    return json.loads(text)


def sent(fleet, kind, call):
    """All lists of the broker's database after a client of that kind sent this."""
    task, args, kwargs, options = CALLS[call]
    fleet.broker.flushdb()
    task_id = fleet.client(kind)("send", task, args, kwargs, **options)
    return {
        key: [envelope(each, task_id) for each in fleet.broker.lrange(key, 0, -1)]
        for key in sorted(fleet.broker.scan_iter())
        if fleet.broker.type(key) == "list"
    }


def envelope(text, task_id):
    """The envelope without what may differ: each of these has its reason."""
    read = json.loads(text)
    read["body"] = json.loads(base64.b64decode(read["body"]))
    properties = read["properties"]
    properties["delivery_tag"] = bool(properties["delivery_tag"])  # any name that is its own
    properties.pop("reply_to", None)  # for results by message, which are not used here
    properties.pop("expiration", None)  # Redis does not look at it; the header tells workers
    # Shown to people; of bytes that are no text Celery shows the digits alone.
    if r"\xff" in read["headers"]["argsrepr"]:
        read["headers"]["argsrepr"] = read["headers"]["argsrepr"].replace(r"\xff\x00", "ff00")
    return neutral(read, task_id)


@pytest.mark.parametrize("call", CALLS)
def test_both_clients_send_the_same(senders, call):
    assert sent(senders, "penstock", call) == sent(senders, "celery", call)


def stored(fleet, queue, task, *args, **options):
    """The result document of a run by the worker that serves this queue."""
    client = fleet.client("celery")
    task_id = client("send", task, args, queue=queue, **options)
    client("outcome", task_id)
    document, _ = fleet.record(task_id)
    if document["traceback"]:
        document["traceback"] = document["traceback"].splitlines()[-1]
    return plain(document, task_id)


def plain(document, task_id):
    """The document without what may differ from one worker to another."""
    document["worker"] = document.get("worker") and document["worker"].partition("@")[1]
    return neutral(document | {"queue": None}, task_id)


RUNS = {
    "a value": ("add", 1, 2),
    "typed values": ("typed",),
    "a failure": ("fail", "boom"),
    "a failure of one's own": ("fail_own", 7),
    "a failure that nobody knows": ("fail_hidden",),
    "an argument that JSON lacks": ("fail_with_object",),
    "retries": ("third_time", 0),
    "no more retries": ("give_up",),
    "children": ("parent", 1),
}
CUT_SHORT = {
    "a soft limit": ("soft_limit",),
    "a hard limit": ("hard_limit",),
    "an unknown task": ("no.such.task",),
}


@pytest.mark.parametrize("run", RUNS)
def test_both_workers_store_the_same(runners, run):
    by_penstock = stored(runners, "penstock-only", *RUNS[run])
    assert by_penstock == stored(runners, "celery-only", *RUNS[run])


@pytest.mark.parametrize("run", CUT_SHORT)
def test_both_workers_say_why_it_was_cut_short(runners, run):
    """In words of their own, and with more or less of what the extended form tells."""
    by_penstock = stored(runners, "penstock-only", *CUT_SHORT[run])
    by_celery = stored(runners, "celery-only", *CUT_SHORT[run])
    assert by_penstock["status"] == by_celery["status"] == "FAILURE"
    assert by_penstock["result"]["exc_type"] == by_celery["result"]["exc_type"]


def passing(fleet, queue, task):
    """The document of the state that a run stores on its way."""
    gate = fleet.gate()
    client = fleet.client("celery")
    task_id = client("send", task, (gate.name,), queue=queue)
    gate.await_reader()
    # A penstock worker tells it beside the run.
    document, _ = wait_for(lambda: fleet.record(task_id))
    gate.open()
    client("outcome", task_id)
    if isinstance(document["result"], dict) and "hostname" in document["result"]:
        document["result"]["hostname"] = document["result"]["hostname"].partition("@")[1]
    told = ("status", "result", "children", "task_id")
    return {name: value for name, value in plain(document, task_id).items() if name in told}


@pytest.mark.parametrize("task", ["progress", "started", "again_behind_gate"])
def test_both_workers_store_the_same_on_the_way(runners, task):
    by_penstock = passing(runners, "penstock-only", task)
    assert by_penstock == passing(runners, "celery-only", task)


def test_both_workers_bind_their_queues_alike(runners):
    """A sender that names an exchange finds a queue by these sets."""
    for kind in ("_kombu.binding.", "_kombu.binding_permanent."):
        by_penstock = runners.broker.smembers(f"{kind}penstock-only")
        by_celery = runners.broker.smembers(f"{kind}celery-only")
        assert {member.replace("penstock", "celery") for member in by_penstock} == by_celery


def test_priorities_use_the_lists_that_celery_reads(senders):
    senders.broker.flushdb()
    for priority in range(10):
        senders.client("penstock")("send", "add", (1, 1), priority=priority)
    counts = {step: senders.broker.llen(f"celery{step}") for step in STEPS}
    assert list(counts.values()) == [3, 3, 3, 1]
