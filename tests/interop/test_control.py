"""Celery's tools see and steer a worker of penstock; penstock's see and steer one of Celery."""

import json
import re
import socket
import subprocess
import time
import urllib.request
from functools import partial

import pytest

from interop.fleet import Fleet
from interop.places import OnRabbit, OnRedis
from programs import Program
from servers import RedisServer, free_port
from workers import wait_for

HOST = socket.gethostname()
OURS, THEIRS = f"ours@{HOST}", f"theirs@{HOST}"
METHODS = (
    "ping", "active", "reserved", "scheduled", "registered", "stats", "active_queues", "conf",
    "report", "revoked", "clock",
)  # fmt: skip


@pytest.fixture(scope="module", params=["Redis", "RabbitMQ"])
def fleet(request, tmp_path_factory):
    """A worker of each kind that tells what its tasks do, each with a queue of its own."""
    place = OnRedis
    if request.param == "RabbitMQ":
        rabbit = request.getfixturevalue("rabbit_server")
        place = partial(OnRabbit, rabbit)
    folder = tmp_path_factory.mktemp("control")
    with RedisServer() as server, Fleet(server, folder, place=place) as fleet:
        for kind, name in (("penstock", "ours"), ("celery", "theirs")):
            fleet.worker(kind, name=name, queues=[name], concurrency=1, options=["-E"], ready=False)
        for worker in fleet.workers:
            worker.await_ready()
        yield fleet


@pytest.fixture
def celery(fleet):
    return fleet.client("celery")


@pytest.fixture
def penstock(fleet):
    return fleet.client("penstock")


def command(fleet, kind, *words):
    """What a command of that kind prints."""
    done = subprocess.run(
        [fleet.python(kind), "-m", kind, "-A", "interop_tasks", *words],
        cwd=fleet.folder,
        env=fleet.environment(kind),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def like(one, other):
    """Whether two answers are of one shape: the same types, and in maps nothing is missing."""
    if isinstance(other, dict) and isinstance(one, dict):
        return all(like(one[k], other[k]) for k in one.keys() & other.keys())
    numbers = (int, float)
    return isinstance(one, type(other)) or (isinstance(one, numbers) and isinstance(other, numbers))


# --- looking ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_both_kinds_answer_either_client_in_one_shape(celery, penstock, method):
    for client in (celery, penstock):
        answers = client("inspect", method, destination=[OURS, THEIRS])
        assert set(answers) == {OURS, THEIRS}
        assert like(answers[OURS], answers[THEIRS])


def test_statistics_have_what_celerys_tools_show(celery, fleet):
    stats = celery("inspect", "stats", destination=[OURS])[OURS]
    assert stats["pool"]["max-concurrency"] == len(stats["pool"]["processes"]) == 1
    place = fleet.place
    told = (stats["broker"]["transport"], stats["broker"]["virtual_host"])
    assert told == (place.TRANSPORT, place.VHOST)
    assert stats["rusage"]["maxrss"] > 0


def test_no_answer_shows_the_password(celery, fleet):
    shown = repr([celery("inspect", method, destination=[OURS]) for method in METHODS])
    assert fleet.place.password not in shown
    assert "open" not in shown


@pytest.mark.parametrize(("asking", "name"), [("celery", "ours"), ("penstock", "theirs")])
def test_what_runs_and_what_waits_is_seen(fleet, asking, name):
    client, worker, gate = fleet.client(asking), f"{name}@{HOST}", fleet.gate()
    running = client("send", "late_typed", (gate.name,), queue=name)
    gate.await_reader()

    def ask(method, *args):
        return client("inspect", method, *args, destination=[worker])[worker]

    (found,) = ask("active")
    assert (found["id"], found["args"], found["hostname"]) == (running, [gate.name], worker)
    assert found["delivery_info"]["routing_key"] == name
    assert abs(found["time_start"] - time.time()) < 30
    ((state, known),) = ask("query_task", running).values()
    assert (state, known["id"]) == ("active", running)
    gate.open()
    assert client("outcome", running)[0] == "SUCCESS"
    if not fleet.place.SHOWS_DELAYED:
        assert ask("scheduled") == []
        return
    later = client("send", "moment", countdown=300, queue=name)
    (found,) = wait_for(lambda: ask("scheduled"), what="a task that waits for its time")
    assert found["request"]["id"] == later
    client("control", "revoke", later)
    fleet.place.drop(name)


def test_celerys_command_line(fleet):
    assert "pong" in command(fleet, "celery", "inspect", "-t", "20", "-d", OURS, "ping")
    assert f"{OURS}: OK" in command(fleet, "celery", "status")
    told = command(
        fleet, "celery", "control", "-t", "4", "rate_limit", "interop_tasks.add", "1000/s"
    )
    assert told.count("new rate limit set successfully") == 2
    assert "rate_limit=1000/s" in command(
        fleet, "celery", "inspect", "-t", "20", "-d", OURS, "registered"
    )


def test_penstocks_command_line(fleet):
    both = ("-d", f"{OURS},{THEIRS}", "-t", "20")
    answers = json.loads(command(fleet, "penstock", "inspect", *both, "ping", "--json"))
    assert answers == {OURS: {"ok": "pong"}, THEIRS: {"ok": "pong"}}
    shown = command(fleet, "penstock", "status").splitlines()
    assert any(line.split() and line.split()[0] == OURS for line in shown)
    text = command(
        fleet, "penstock", "control", *both, "time_limit", "interop_tasks.add", "50", "60"
    )
    assert text.splitlines() == [
        f"{OURS}: time limits set successfully", f"{THEIRS}: time limits set successfully",
    ]  # fmt: skip


def test_what_workers_cannot_do_both_say_in_the_same_words(penstock):
    for method, arguments in (
        ("no_such_thing", {}),
        ("rate_limit", {"wrong": 1}),
        ("rate_limit", {"task_name": "no.task", "rate_limit": "1/s"}),
        ("pool_restart", {}),
        ("autoscale", {"max": 1, "min": 1}),
    ):
        replies = penstock(
            "control", "broadcast", method, arguments,
            destination=[OURS, THEIRS], reply=True, timeout=10.0,
        )  # fmt: skip
        answers = {worker: answer for reply in replies for worker, answer in reply.items()}
        assert answers[OURS] == answers[THEIRS]
        assert set(answers[OURS]) == {"error"}


def test_requests_are_for_those_they_name(celery):
    for options, heard in (
        ({"destination": [OURS]}, {OURS}),
        ({"pattern": "our*", "matcher": "glob"}, {OURS}),
        ({"pattern": "(ours|theirs)@", "matcher": "pcre"}, {OURS, THEIRS}),
        ({"pattern": "nobody*", "matcher": "glob"}, set()),
    ):
        replies = celery("control", "broadcast", "ping", reply=True, timeout=2.0, **options)
        assert {worker for reply in replies for worker in reply} == heard


# --- steering -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("asking", "name"), [("celery", "ours"), ("penstock", "theirs")])
def test_a_task_that_runs_is_terminated(fleet, asking, name):
    client, gate = fleet.client(asking), fleet.gate()
    running = client("send", "late_typed", (gate.name,), queue=name)
    gate.await_reader()
    client("control", "revoke", running, terminate=True)
    state, _, error = client("outcome", running)
    assert (state, error[0]) == ("REVOKED", "TaskRevokedError")
    after = client("send", "add", (1, 1), queue=name)  # the one process there is has to be free
    assert client("outcome", after)[1] == 2


@pytest.mark.parametrize(("asking", "name"), [("celery", "ours"), ("penstock", "theirs")])
def test_a_task_that_waits_is_revoked_and_never_begins(fleet, asking, name):
    client, worker, gate = fleet.client(asking), f"{name}@{HOST}", fleet.gate()
    before = client("send", "late_typed", (gate.name,), queue=name)
    gate.await_reader()
    waiting = client("send", "marked", ("never",), queue=name)
    client("control", "revoke", waiting)
    wait_for(
        lambda: waiting in client("inspect", "revoked", destination=[worker])[worker],
        what="the revocation",
    )
    gate.open()
    assert client("outcome", before)[0] == "SUCCESS"
    assert client("outcome", waiting)[0] == "REVOKED"
    after = client("send", "marked", ("after",), queue=name)
    assert client("outcome", after)[0] == "SUCCESS"
    assert not [line for line in fleet.journal() if "never" in line]


@pytest.mark.parametrize("terminate", [False, True], ids=["what waits", "what runs"])
def test_celery_revokes_by_stamps(fleet, celery, terminate):
    gate = fleet.gate()
    stamp = {"stamped_headers": ["batch"], "batch": f"batch-{terminate}"}
    running = celery("send", "late_typed", (gate.name,), queue="ours", **stamp)
    gate.await_reader()
    waiting = celery("send", "marked", (f"stamped-{terminate}",), queue="ours", **stamp)
    other = celery("send", "add", (1, 1), queue="ours", stamped_headers=["batch"], batch="another")
    ((answer,),) = [
        reply.values()
        for reply in celery(
            "control", "revoke_by_stamped_headers", {"batch": [stamp["batch"]]},
            destination=[OURS], terminate=terminate, reply=True, timeout=10,
        )
    ]  # fmt: skip
    if terminate:
        assert answer == {"ok": f"headers {{'batch': ['{stamp['batch']}']}} revoked"}
        assert celery("outcome", running)[0] == "REVOKED"
    else:
        assert "but not terminated" in answer["ok"]
        gate.open()
        assert celery("outcome", running)[0] == "SUCCESS"
    assert celery("outcome", waiting)[0] == "REVOKED"
    assert celery("outcome", other)[1] == 2
    assert not [line for line in fleet.journal() if f"stamped-{terminate}" in line]


def test_a_celery_worker_that_starts_learns_of_revoked_ids(fleet, penstock):
    penstock("control", "revoke", "revoked-before")
    fleet.worker("celery", name="late", queues=["late"], concurrency=1)
    late = f"late@{HOST}"
    told = wait_for(  # Celery says that it is ready before it hears
        lambda: penstock("inspect", "revoked", destination=[late], timeout=1.0), what="an answer"
    )
    assert "revoked-before" in told[late]
    penstock("control", "shutdown", [late])


def test_queues_and_processes_change(celery):
    def told(method, *args):
        ((answer,),) = [
            reply.values()
            for reply in celery("control", method, *args, destination=[OURS], reply=True)
        ]
        return answer["ok"]

    def served():
        return [q["name"] for q in celery("inspect", "active_queues", destination=[OURS])[OURS]]

    assert told("add_consumer", "added") == "add consumer added"
    assert served() == ["added", "ours"]
    assert celery("outcome", celery("send", "add", (1, 2), queue="added"))[1] == 3
    assert told("cancel_consumer", "added") == "no longer consuming from added"
    assert served() == ["ours"]
    assert told("pool_grow", 1) == "pool will grow"
    pool = celery("inspect", "stats", destination=[OURS])[OURS]["pool"]
    assert pool["max-concurrency"] == 2
    assert told("pool_shrink", 1) == "pool will shrink"
    wait_for(
        lambda: len(celery("inspect", "stats", destination=[OURS])[OURS]["pool"]["processes"]) == 1,
        what="a smaller pool",
    )
    assert celery("outcome", celery("send", "add", (2, 2), queue="ours"))[1] == 4


def test_a_worker_is_shut_down_by_celery(fleet, celery):
    worker = fleet.worker("penstock", name="leaving", queues=["leaving"])
    celery("control", "shutdown", [f"leaving@{HOST}"])
    wait_for(lambda: not worker.running, what="the worker's end")
    assert worker.stop() == 0
    assert "Got shutdown from remote" in worker.text


# --- events -------------------------------------------------------------------------------------


def test_celerys_events_and_flower_see_everything(fleet, celery):
    port = free_port()
    environment = fleet.environment("celery") | {"FLOWER_UNAUTHENTICATED_API": "true"}
    start = [fleet.python("celery"), "-m", "celery", "-A", "interop_tasks"]
    dump = Program([*start, "events", "--dump"], fleet.folder, env=environment)
    flower = Program(
        [*start, "flower", "--address=127.0.0.1", f"--port={port}"], fleet.folder, env=environment
    )

    def api(path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=10) as said:
                return json.load(said)
        except OSError:  # it is not there yet
            return {}

    try:
        assert dump.says(f"{OURS} ", 30), dump.text
        wait_for(lambda: api("workers?status=1").get(OURS), what="our worker in Flower")
        good = celery("send", "add", (2, 3), queue="ours")
        bad = celery("send", "fail", ("broken",), queue="ours")
        assert celery("outcome", good)[1] == 5
        assert celery("outcome", bad)[0] == "FAILURE"
        seen = wait_for(lambda: ended(api("tasks"), good, bad), what="both tasks in Flower")
        assert (seen[good]["state"], seen[good]["result"]) == ("SUCCESS", "5")
        assert (seen[good]["args"], seen[good]["worker"]) == ("(2, 3)", OURS)
        assert seen[good]["runtime"] > 0
        assert seen[bad]["state"] == "FAILURE"
        assert "broken" in seen[bad]["exception"]
        assert "Traceback" in seen[bad]["traceback"]
        for kind in ("received", "started", "succeeded", "failed"):
            assert dump.says(f"task {kind}", 10) or kind in dump.text, dump.text
        workers = api("workers?refresh=1")
        assert [q["name"] for q in workers[OURS]["active_queues"]] == ["ours"]
        assert "interop_tasks.add" in " ".join(workers[OURS]["registered"])
    finally:
        flower.stop()
        dump.stop()


def ended(tasks, *ids):
    """The tasks, once all of these have ended."""
    known = all(tasks.get(i, {}).get("state") in {"SUCCESS", "FAILURE"} for i in ids)
    return tasks if known else None


def test_penstock_hears_the_events_of_both(fleet, penstock):
    program = Program(
        [fleet.python("penstock"), "-m", "penstock", "-A", "interop_tasks", "events", "--json"],
        fleet.folder,
        env=fleet.environment("penstock"),
    )
    try:
        for worker in (OURS, THEIRS):
            assert program.says(f'"hostname":"{worker}"', 20), program.text
        for name in ("ours", "theirs"):
            penstock("outcome", penstock("send", "add", (4, 5), queue=name))
        wait_for(lambda: len(re.findall("task-succeeded", program.text)) >= 2, what="two ends")
        told = [json.loads(line) for line in program.text.splitlines()]
        ends = {e["hostname"]: e["result"] for e in told if e["type"] == "task-succeeded"}
        assert ends == {OURS: "9", THEIRS: "9"}
    finally:
        program.stop()
