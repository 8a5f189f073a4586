"""What is tried on every pairing of clients and workers: a name, an act, and what it must give.

An act gets a :class:`Scene` and gives a value, which must equal ``sees``.
"""

import dataclasses
import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest.mock import ANY
from uuid import UUID, uuid4

from interop.fleet import Client, Fleet
from workers import wait_for

__all__ = ["CASES", "SMOKE", "Case", "Scene"]

UTC = dt.UTC
BOTH = ("celery", "penstock")


@dataclasses.dataclass(frozen=True)
class Scene:
    """Where a case is played: one client, and a fleet whose workers run what it sends."""

    client: Client
    fleet: Fleet

    def send(self, task, *args, **options):
        """The id of a call."""
        return self.client("send", task, args, **options)

    def outcome(self, task_id):
        """How a call ended, when it has."""
        return self.client("outcome", task_id)

    def value(self, task, *args, **options):
        """The value that a call returned."""
        state, value, error = self.outcome(self.send(task, *args, **options))
        assert state == "SUCCESS", (state, error)
        return value

    def look_when(self, task_id, state):
        """What the client sees once the state is there."""

        def there():
            seen = self.client("look", task_id)
            return seen if seen["state"] == state else None

        return wait_for(there, what=f"the state {state}")


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    act: Callable[[Scene], Any]
    sees: Any
    clients: tuple[str, ...] = BOTH


@dataclasses.dataclass(frozen=True)
class Call:
    """The act of most cases: one call, and how it ended."""

    task: str
    args: tuple = ()
    kwargs: dict = dataclasses.field(default_factory=dict)
    options: dict = dataclasses.field(default_factory=dict)

    def __call__(self, scene):
        task_id = scene.client("send", self.task, self.args, self.kwargs, **self.options)
        return scene.outcome(task_id)


def call(task, *args, **kwargs):
    return Call(task, args, kwargs)


def value(result):
    return "SUCCESS", result, None


def failure(name, *args, ours=False):
    """The failure as ``get`` raises it; ``ours``: by the library's own class."""
    return "FAILURE", None, (name, args or ANY, ours)


# --- acts of more than one step ------------------------------------------------------------------


def raised_by_get(task, *args):
    return lambda scene: scene.client("raised", scene.send(task, *args))


def hidden(scene):
    """Of an exception whose class is not imported here, its name and arguments."""
    return scene.client("raised", scene.send("fail_hidden"))[:2]


def countdown(scene):
    due = time.time() + 0.5
    return 0 <= scene.value("moment", countdown=0.5) - due + 0.02 < 5


def eta_with_zone(scene):
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    due = dt.datetime.now(zone) + dt.timedelta(seconds=0.5)
    return 0 <= scene.value("moment", eta=due) - due.timestamp() + 0.02 < 5


def eta_without_zone(scene):
    due = dt.datetime.now(UTC) + dt.timedelta(seconds=0.5)
    started = scene.value("moment", eta=due.replace(tzinfo=None))
    return 0 <= started - due.timestamp() + 0.02 < 5


def expires_before_its_time(scene):
    return scene.outcome(scene.send("marked", "expired", countdown=0.8, expires=0.3))


def priorities(scene):
    """All are sent before a worker of each kind with one executor begins on their queue."""
    fleet, kinds = scene.fleet, {worker.kind for worker in scene.fleet.workers}
    queue = f"ordered-{uuid4()}"
    sent = [9, 3, 0, 6, 9, 0, 3, 6]
    ids = [scene.send("request", queue=queue, priority=number) for number in sent]
    extra = [fleet.worker(kind, queues=(queue,), concurrency=1, ready=False) for kind in kinds]
    ran = [scene.outcome(task_id) for task_id in ids]
    order = {worker.name: order_of(worker, ids) for worker in extra}
    for worker in extra:
        worker.stop()
        fleet.workers.remove(worker)
    assert sorted(number for numbers in order.values() for number in numbers) == list(range(8))
    highest_first = fleet.place.FIRST is max
    served = [[sent[number] for number in numbers] for numbers in order.values()]
    return (
        [one[1]["priority"] for one in ran] == sent,
        all(numbers == sorted(numbers, reverse=highest_first) for numbers in served),
    )


def order_of(worker, ids):
    """The order in which a worker received these, as its log has it."""
    lines = worker.text.splitlines()
    received = [line for line in lines if "received" in line.lower()]
    return [n for line in received for n, task_id in enumerate(ids) if task_id in line]


def retry_is_seen(scene):
    gate = scene.fleet.gate()
    task_id = scene.send("again_behind_gate", gate.name)
    seen = scene.look_when(task_id, "RETRY")
    gate.open()
    return seen["info"], seen["ready"], scene.outcome(task_id)


def progress(scene):
    gate = scene.fleet.gate()
    task_id = scene.send("progress", gate.name)
    seen = scene.look_when(task_id, "PROGRESS")
    gate.open()
    return seen["info"], seen["ready"], scene.outcome(task_id)


def started(scene):
    gate = scene.fleet.gate()
    task_id = scene.send("started", gate.name)
    seen = scene.look_when(task_id, "STARTED")
    gate.open()
    return sorted(seen["info"]), scene.outcome(task_id)


def woken(scene):
    """The client waits before there is a result: only the worker's message can wake it."""
    gate = scene.fleet.gate()
    task_id = scene.send("late_typed", gate.name)
    scene.client.ask("outcome", task_id)
    scene.fleet.await_listener(task_id)
    gate.open()
    return scene.client.answer()[0]


def gives_up_waiting(scene):
    gate = scene.fleet.gate()
    task_id = scene.send("progress", gate.name)
    gave_up = scene.client("waits", task_id, 0.2)
    gate.open()
    return gave_up, scene.outcome(task_id)[1]


def nothing_stored(send):
    """A run whose end stores nothing; that it ran, its journal and the drained queue show."""

    def act(scene):
        word = str(uuid4())
        task_id, given = send(scene, word)
        wait_for(lambda: any(word in line for line in scene.fleet.journal()), what="its run")
        scene.fleet.await_drained()
        return scene.fleet.record(task_id), given

    return act


def quiet_by_task(scene, word):
    task_id = str(uuid4())
    return task_id, scene.client("ignored", "quiet", (word,), task_id=task_id)


def quiet_by_call(scene, word):
    task_id = str(uuid4())
    options = {"task_id": task_id, "ignore_result": True}
    return task_id, scene.client("ignored", "marked", (word,), **options)


def quiet_by_signal(scene, word):
    return scene.send("ignored", word), None


def own_id(scene):
    task_id = f"order-{uuid4().hex[:8]}"
    return scene.send("request", task_id=task_id) == task_id, scene.outcome(task_id)[1]["id"] == (
        task_id
    )


def request(scene):
    task_id = scene.send("request", priority=3, headers={"customer": "acme"})
    seen = scene.outcome(task_id)[1]
    return {name: "own" if seen[name] == task_id else seen[name] for name in seen}


def family(scene):
    """A task that sends two others: who is whose child."""
    task_id = scene.send("parent", 4)
    own, first, second = scene.outcome(task_id)[1]
    child = scene.outcome(first)[1]
    seen = scene.client("look", task_id)
    return (
        own == task_id,
        seen["children"] == [first, second],
        (child["root_id"], child["parent_id"]) == (task_id, task_id),
        scene.outcome(second)[1],
    )


def many(scene):
    ids = scene.client("many", "add", [(number, 1) for number in range(60)])
    return [scene.outcome(task_id)[1] for task_id in ids] == list(range(1, 61))


def extended(scene):
    task_id = scene.client("send", "echo", (1, b"\xff"), {"name": "ann"}, queue="second")
    scene.outcome(task_id)
    seen = scene.client("look", task_id)
    ran_by = [worker.name for worker in scene.fleet.workers if worker.name in seen["worker"]]
    names = ("state", "done", "name", "args", "kwargs", "retries", "queue", "traceback")
    return {name: seen[name] for name in names}, len(ran_by)


def traceback(scene):
    task_id = scene.send("fail")
    scene.outcome(task_id)
    seen = scene.client("look", task_id)
    text = seen["traceback"]
    return seen["failed"], text.startswith("Traceback "), text.rstrip().endswith("ValueError: boom")


def forgotten(scene):
    task_id = scene.send("add", 1, 1)
    scene.outcome(task_id)
    before = scene.fleet.record(task_id)
    scene.client("forget", task_id)
    return before is not None, scene.fleet.record(task_id), scene.client("look", task_id)["state"]


def document(scene):
    """The stored text, seen by neither side: members, time to live."""
    task_id = scene.send("add", 1, 1)
    scene.outcome(task_id)
    stored, ttl = scene.fleet.record(task_id)
    return sorted(stored), 86000 < ttl <= 86400


def everybody_works(scene):
    """Of calls that take a while each worker gets some."""
    ids = scene.client("many", "sleep", [(0.05,)] * 24)
    ran_by = {scene.outcome(task_id)[1] for task_id in ids}
    return ran_by == {worker.name for worker in scene.fleet.workers}


def nothing_is_left(scene):
    scene.fleet.await_drained()
    return True


# --- the table ---------------------------------------------------------------------------------

NESTED = {"list": [1, [2, {"x": None}]], "text": "zoë ☃ \U0001f40d \x00", "empty": {}}
ARGUMENTS = (
    dt.datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    dt.datetime(2024, 1, 2, 3, 4, 5),  # noqa: DTZ001 - without a zone is a kind of its own
    dt.date(2024, 1, 2),
    dt.time(3, 4, 5, 6),
    Decimal("1.50"),
    UUID("12345678123456781234567812345678"),
    b"abc",
    b"\xff\x00",
    float("inf"),
    2**70,
)
TYPED = {
    "datetime": ARGUMENTS[0],
    "naive": ARGUMENTS[1],
    "date": ARGUMENTS[2],
    "time": ARGUMENTS[3],
    "decimal": ARGUMENTS[4],
    "uuid": ARGUMENTS[5],
    "bytes": ARGUMENTS[6],
    "binary": ARGUMENTS[7],
    "tuple": [1, 2],
    "inf": float("inf"),
}
LARGE = "0123456789abcdef" * 65536  # one mebibyte
YEAR_2000 = dt.datetime(2000, 1, 1, tzinfo=UTC)
NEXT_WEEK = dt.datetime.now(UTC) + dt.timedelta(days=7)  # RabbitMQ takes no expiration over 49 days
EXPIRED = ("REVOKED", None, ("TaskRevokedError", ("expired",), True))
MEMBERS = [
    "args", "children", "date_done", "kwargs", "name", "queue", "result", "retries", "status",
    "task_id", "traceback", "worker",
]  # fmt: skip

RUN = {
    "id": "own",
    "root_id": "own",
    "parent_id": None,
    "retries": 0,
    "queue": "celery",
    "priority": 3,
    "customer": "acme",
}
EXTENDED = {
    "state": "SUCCESS",
    "done": True,
    "name": "interop_tasks.echo",
    "args": [1, b"\xff"],
    "kwargs": {"name": "ann"},
    "retries": 0,
    "queue": "second",
    "traceback": None,
}

CASES = [
    # values
    Case("a simple call", call("add", 2, 3), value(5)),
    Case("many calls", many, True),
    Case("keyword arguments", call("echo", 1, a=2), value({"args": [1], "kwargs": {"a": 2}})),
    Case("no arguments", call("echo"), value({"args": [], "kwargs": {}})),
    Case("nested values", call("echo", NESTED), value({"args": [NESTED], "kwargs": {}})),
    Case(
        "typed values there and back",
        call("echo", *ARGUMENTS, key=ARGUMENTS[0]),
        value({"args": list(ARGUMENTS), "kwargs": {"key": ARGUMENTS[0]}}),
    ),
    Case(
        "typed values as the task sees them",
        call("seen", *ARGUMENTS),
        value([repr(each) for each in ARGUMENTS]),
    ),
    Case("typed values in a result", call("typed"), value(TYPED)),
    Case("a large value", call("echo", LARGE), value({"args": [LARGE], "kwargs": {}})),
    Case(
        "zlib",
        Call("echo", (LARGE,), {}, {"compression": "zlib"}),
        value({"args": [LARGE], "kwargs": {}}),
        clients=("celery",),  # penstock reads what is compressed; it does not compress
    ),
    # ids, headers, family
    Case("an id given by the caller", own_id, (True, True)),
    Case("what a task sees of its run", request, RUN),
    Case("a task that sends others", family, (True, True, True, 5)),
    # where and when
    Case("another queue", Call("routed", options={"queue": "second"}), value("second")),
    Case("a countdown", countdown, True),
    Case("an eta with a zone", eta_with_zone, True),
    Case("an eta without a zone", eta_without_zone, True),
    Case("an eta in the past", Call("add", (1, 1), {}, {"eta": YEAR_2000}), value(2)),
    Case("expires in good time", Call("add", (1, 1), {}, {"expires": NEXT_WEEK}), value(2)),
    Case("expires after seconds", Call("add", (1, 1), {}, {"expires": 60}), value(2)),
    Case("expired", Call("marked", ("old",), {}, {"expires": YEAR_2000}), EXPIRED),
    Case("expires before its eta", expires_before_its_time, EXPIRED),
    Case("priorities", priorities, (True, True)),
    # retries
    Case("retries", call("third_time", 0), value(2)),
    Case(
        "a retry is seen",
        retry_is_seen,
        (("ValueError", ("try again",), False), False, value("at last")),
    ),
    Case("the last retry fails", call("give_up"), failure("ValueError", "no use")),
    Case(
        "the last retry fails without a cause",
        call("give_up_without_cause"),
        failure("MaxRetriesExceededError", ours=True),
    ),
    Case("retries by option", call("knock"), value(2)),
    Case("a retry with other arguments", call("other_arguments", "a"), value("a again")),
    # failures
    Case("an exception of Python's", call("fail", "boom"), failure("ValueError", "boom")),
    Case("get raises it", raised_by_get("fail", "boom"), ("ValueError", ("boom",), False)),
    Case(
        "an exception that the client knows", call("fail_own", 7), failure("AppError", 7, "details")
    ),
    Case(
        "an exception that the client does not know", hidden, ("HiddenError", ("nobody", "knows"))
    ),
    Case("an exception with a cause", call("fail_nested"), failure("RuntimeError", "outer")),
    Case("a traceback", traceback, (True, True, True)),
    Case(
        "an exception with an argument that JSON lacks",
        call("fail_with_object"),
        failure("ValueError", "an object", "{1, 2}"),
    ),
    Case("a result that JSON lacks", call("unstorable"), failure("EncodeError", ours=True)),
    Case("wrong arguments", Call("nobody_checks", (1,)), failure("TypeError")),
    Case(
        "an unknown task", call("no.such.task"), failure("NotRegistered", "no.such.task", ours=True)
    ),
    Case("a killed executor", call("die"), failure("WorkerLostError", ours=True)),
    Case("a hard limit", call("hard_limit"), failure("TimeLimitExceeded", ours=True)),
    Case("a soft limit", call("soft_limit"), failure("SoftTimeLimitExceeded", ours=True)),
    Case(
        "a limit of the call",
        Call("sleep", (30,), {}, {"time_limit": 1}),
        failure("TimeLimitExceeded", ours=True),
    ),
    Case("refused", call("refused"), failure("Reject", "not mine", False, ours=True)),
    # states
    Case("progress", progress, ({"done": 3, "total": 10}, False, value("finished"))),
    Case("started", started, (["hostname", "pid"], value("finished"))),
    Case("a client is woken", woken, "SUCCESS"),
    Case("a client gives up waiting", gives_up_waiting, (True, "finished")),
    Case("results ignored by the task", nothing_stored(quiet_by_task), (None, None)),
    Case("results ignored by the call", nothing_stored(quiet_by_call), (None, None)),
    Case("results ignored by the run", nothing_stored(quiet_by_signal), (None, None)),
    Case("a forgotten result", forgotten, (True, None, "PENDING")),
    Case("the stored document", document, (MEMBERS, True)),
    Case("result_extended", extended, (EXTENDED, 1)),
    # the whole
    Case("everybody works", everybody_works, True),
    Case("nothing is left", nothing_is_left, True),
]
SMOKE = (
    "a simple call", "typed values there and back", "a retry is seen",
    "an exception that the client knows", "a countdown",
)  # fmt: skip
