"""Requests to a worker: what is done, what is answered; nothing else than the table's commands."""

import json
import logging
from collections import Counter
from types import SimpleNamespace

import pytest

from penstock.clock import ManualClock
from penstock.errors import Unavailable
from penstock.wire.control import Address, Request, read_answer, read_request, request_note
from penstock.wire.events import read_events
from penstock.wire.note import Note
from penstock.worker.control.clock import LogicalClock
from penstock.worker.control.herald import Herald
from penstock.worker.control.outbox import Outbox
from penstock.worker.control.panel import Panel
from penstock.worker.control.revoked import Revoked
from penstock.worker.control.site import Site
from penstock.worker.protocol import Manifest, TaskPolicy

NAME = "w@h"
LOG = logging.getLogger("test.panel")
LOG.disabled = True
SETTINGS = {
    "broker_url": "redis://:s3cret@h/5", "secret_word": "s3cret", "result_expires": 60.0,
    "worker_max_tasks_per_child": None, "task_soft_time_limit": None, "task_time_limit": 5.0,
}  # fmt: skip


class FakeTalk:
    """Keeps what is said; hears what the test puts into ``heard``."""

    events = True

    def __init__(self):
        self.said = []
        self.heard = []
        self.away = False

    def say(self, notes):
        if self.away:
            raise Unavailable("away")
        self.said += notes

    def fileno(self):
        return 7

    def clear(self):
        pass

    def take(self):
        taken, self.heard = self.heard, []
        return taken

    def close(self):
        pass


class FakeLoop:
    """A supervisor's books, and what it was told."""

    def __init__(self):
        self.crew = SimpleNamespace(slots={}, waiting=[], count=lambda: 0)
        self.plan = SimpleNamespace(pool="prefork", capacity=1)
        self.totals = Counter({"t": 3})
        self.queues = ["q"]
        self.size = 2
        self.told = []

    def drain(self):
        self.told.append("drain")

    def revoke(self, ids, *, terminate=None):
        self.told.append(("revoke", tuple(ids), terminate))
        return [i for i in ids if i == "here"] if terminate else []

    def resize(self, change):
        if change < -1:
            raise ValueError("too few")
        self.told.append(change)

    def consume(self, queue):
        self.queues = [*self.queues, queue]

    def cancel(self, queue):
        self.queues = [name for name in self.queues if name != queue]


@pytest.fixture
def stage():
    clock, talk, logical = ManualClock(), FakeTalk(), LogicalClock()
    outbox = Outbox(talk, name=NAME, log=LOG)
    rates, recorded = {}, []
    site = Site(
        name=NAME,
        loop=FakeLoop(),
        broker=SimpleNamespace(
            capabilities=SimpleNamespace(revokes=True),
            revoke=lambda ids, ttl: recorded.append((tuple(ids), ttl)),
        ),
        store=SimpleNamespace(get=lambda ids: [None] * len(ids), put=recorded.append),
        manifest=Manifest(
            app="a", broker="redis://:s3cret@h:1/5", backend="redis://:s3cret@h:1/6",
            settings=SETTINGS, tasks={}, queues=("q",),
        ),
        tasks={"t": TaskPolicy(rate_limit="5/s")},
        intake=SimpleNamespace(limit=rates.__setitem__),
        herald=Herald(outbox, name=NAME, logical=logical, clock=clock, on=False),
        outbox=outbox,
        logical=logical,
        revoked=Revoked(clock),
        clock=clock,
        log=LOG,
    )  # fmt: skip
    panel = Panel(site, talk)
    yield SimpleNamespace(
        site=site, panel=panel, talk=talk, loop=site.loop, rates=rates, recorded=recorded,
        outbox=outbox, clock=clock,
    )  # fmt: skip
    outbox.close()


def ask(stage, method, **arguments):
    """What it answers; None where it answers nothing."""
    request = Request(
        method=method, arguments=arguments, ticket="t", reply_to=Address("x", "y"), clock=40
    )
    stage.panel.answer(read_request(request_note(request)))
    answers = [read_answer(note, ticket="t") for note in flushed(stage) if note.exchange == "x"]
    assert len(answers) <= 1
    return answers[0][NAME] if answers else None


def flushed(stage):
    """All that is said, now that the outbox is empty."""
    stage.outbox.close()
    stage.outbox._thread = None
    said, stage.talk.said = stage.talk.said, []
    return said


@pytest.mark.parametrize(
    ("method", "arguments", "answer"),
    [
        ("ping", {}, {"ok": "pong"}),
        ("ping", {"what": "ever"}, {"ok": "pong"}),
        ("active", {}, []),
        ("reserved", {}, []),
        ("revoked", {}, []),
        ("query_task", {"ids": ["a"]}, {}),
        ("registered", {}, ["t [rate_limit=5/s]"]),
        ("registered", {"taskinfoitems": ["acks_late", "__class__"]}, ["t [acks_late=True]"]),
        ("pool_grow", {"n": 2}, {"ok": "pool will grow"}),
        ("pool_shrink", {}, {"ok": "pool will shrink"}),
        ("pool_shrink", {"n": 5}, {"error": "ValueError('too few')"}),
        ("rate_limit", {"task_name": "u", "rate_limit": "1/s"}, {"error": "unknown task"}),
        ("time_limit", {"task_name": "u"}, {"error": "unknown task"}),
        ("add_consumer", {"queue": "r"}, {"ok": "add consumer r"}),
        ("cancel_consumer", {"queue": "q"}, {"ok": "no longer consuming from q"}),
        ("enable_events", {}, {"ok": "task events enabled"}),
        ("disable_events", {}, {"ok": "task events already disabled"}),
        ("nothing", {}, {"error": "KeyError('nothing')"}),
        ("__class__", {}, {"error": "KeyError('__class__')"}),
    ],
)
def test_what_is_answered(stage, method, arguments, answer):
    assert ask(stage, method, **arguments) == answer


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("revoke", {}), ("revoke", {"task_id": 5}), ("revoke", {"task_id": [5]}),
        ("revoke", {"task_id": "a", "signal": "SIGNOTHING"}), ("pool_grow", {"n": "x"}),
        ("time_limit", {"task_name": "t", "soft": -1}), ("add_consumer", {"queue": {}}),
        ("query_task", {"ids": {"a": 1}}), ("hello", {}), ("ping", {"site": 1}),
        ("rate_limit", {"task_name": [], "rate_limit": "1/s"}),
    ],
)  # fmt: skip
def test_wrong_arguments_are_an_answer_and_change_nothing(stage, method, arguments):
    assert set(ask(stage, method, **arguments)) == {"error"}
    assert stage.loop.told == stage.recorded == []
    assert len(stage.site.revoked) == 0


def test_limits_are_changed_for_what_comes(stage):
    ask(stage, "rate_limit", task_name="t", rate_limit="10/m")
    ask(stage, "time_limit", task_name="t", soft=3, hard=4)
    assert stage.rates == {"t": 10 / 60}
    policy = stage.site.tasks["t"]
    assert (policy.rate_limit, policy.soft_time_limit, policy.time_limit) == ("10/m", 3.0, 4.0)


def test_a_revoked_id_is_known_and_written_down(stage):
    assert ask(stage, "revoke", task_id="a") == {"ok": "tasks {'a'} flagged as revoked"}
    assert "a" in stage.site.revoked
    (record,), (ids, ttl) = stage.recorded
    assert (record.id, record.state) == ("a", "REVOKED")
    assert (ids, ttl) == (("a",), 60.0)


def test_what_was_ended_here_keeps_its_own_record(stage):
    answer = ask(stage, "terminate", signal="KILL", task_id=["here"])
    assert answer == {"ok": "terminate: here"}
    assert stage.recorded == []
    assert ask(stage, "revoke", task_id="x", terminate=True) == {"ok": "terminate: tasks unknown"}


def test_secrets_are_never_said(stage):
    for method in ("conf", "report", "stats"):
        assert "s3cret" not in json.dumps(ask(stage, method, with_defaults=True))


def test_who_starts_learns_of_revoked_ids_and_tells_its_own(stage):
    stage.site.revoked.add(["mine"])
    found = ask(stage, "hello", from_node="other@h", revoked={"theirs": 1})
    assert sorted(found["revoked"]) == ["mine", "theirs"]
    assert found["clock"] > 0
    assert ask(stage, "hello", from_node=NAME) is None


def test_a_shutdown_is_not_answered(stage):
    assert ask(stage, "shutdown") is None
    assert stage.loop.told == ["drain"]


def test_requests_for_others_and_what_is_none_are_passed_over(stage):
    other = Request(method="shutdown", destination=("other@h",), clock=90)
    stage.talk.heard += [
        request_note(other),
        Note(exchange="celery.pidbox", body=b"rubbish"),
        request_note(Request(method="shutdown", pattern="(", matcher="pcre")),
        request_note(Request(method="pool_grow")),
    ]
    stage.panel.turn({7}, 0.0)
    assert stage.loop.told == [1]
    assert stage.site.logical.value > 90  # it heard the clock of what was for another, too


def test_it_tells_that_it_is_there_every_two_seconds(stage):
    stage.panel.begin()
    for _ in range(3):
        stage.clock.advance(stage.panel.due() - stage.clock.monotonic())
        stage.panel.turn(set(), stage.clock.monotonic())
    stage.panel.end()
    events = [event for note in flushed(stage) for event in read_events(note)]
    kinds = ["worker-online", *["worker-heartbeat"] * 3, "worker-offline"]
    assert [event["type"] for event in events] == kinds
    assert events[-1]["timestamp"] - events[0]["timestamp"] == pytest.approx(6.0)
    assert (events[1]["freq"], events[1]["processed"]) == (2.0, 3)
    clocks = [event["clock"] for event in events]
    assert clocks == sorted(set(clocks))


def test_what_cannot_be_said_is_dropped_and_the_next_is_said(stage):
    stage.talk.away = True
    assert ask(stage, "ping") is None
    stage.talk.away = False
    assert ask(stage, "ping") == {"ok": "pong"}


def test_revoked_ids_are_bounded_in_number_and_time():
    clock = ManualClock()
    revoked = Revoked(clock)
    revoked.add(map(str, range(60_000)))
    assert len(revoked) == 50_000
    assert "59999" in revoked
    assert "9999" not in revoked
    clock.advance(4 * 3600)
    revoked.add(["new"])
    assert list(revoked) == ["new"]
