"""Every way a run can end, and what is written then."""

import logging
from types import SimpleNamespace

import msgspec
import pytest

from penstock.clock import ManualClock
from penstock.message import Again, Dead, Done, Lease
from penstock.wire.result import decode_result
from penstock.wire.task import Call, encode_call, read_header
from penstock.worker.crew import Verdict, Work
from penstock.worker.endings import Endings
from penstock.worker.past import HEADER, Past
from penstock.worker.protocol import Finished, Progress, Rejected, Retried, TaskPolicy
from penstock.worker.triage import Triage

LOG = logging.getLogger("test")
LOG.disabled = True


@pytest.fixture
def written():
    return SimpleNamespace(settled=[], stored=[], published=[])


@pytest.fixture
def endings(written):
    custody = SimpleNamespace(
        settle=written.settled.append,
        store=written.stored.append,
        publish=lambda *both: written.published.append(both),
    )
    triage = Triage(tasks={}, clock=ManualClock(), result_ttl=60.0)
    return Endings(custody=custody, triage=triage, crash_limit=3, result_ttl=60.0, log=LOG)


def work(*, settled=False, lost=False, verdict=None, time_limit=None, **past):
    message = encode_call(Call(task="t", id="one"), queue="q", priority=5)
    message = Past(key=message.key, **past).on(message)
    lease = Lease(message, attempt=2, until=0.0, fence=2)
    policy = TaskPolicy(time_limit=time_limit)
    item = Work(1, lease, read_header(message), policy, 0.0, settled=settled, lost=lost)
    item.verdict = verdict
    return item


def only(items):
    (item,) = items
    return item


def failure(record):
    document = decode_result(record.document)
    return document.status, document.result["exc_type"]


def test_a_result_is_settled_with_its_record(endings, written):
    item = work()
    endings.finished(item, Finished(1, "SUCCESS", b"{}", 0.1))
    end = only(written.settled)
    assert isinstance(end, Done)
    assert (end.record.state, end.record.document, end.record.final) == ("SUCCESS", b"{}", True)
    assert (end.record.key, end.record.attempt) == (item.lease.message.key, 2)


def test_nothing_to_store_is_settled_without_a_record(endings, written):
    endings.finished(work(), Finished(1, "SUCCESS", None, 0.1))
    assert only(written.settled).record is None


@pytest.mark.parametrize("end", ["finished", "retried", "rejected", "progress", "crashed"])
def test_who_lost_the_lease_writes_nothing(endings, written, end):
    item = work(lost=True)
    match end:
        case "finished":
            endings.finished(item, Finished(1, "SUCCESS", b"{}", 0.1))
        case "retried":
            endings.retried(item, Retried(1, work().lease.message, b"{}", 0.1))
        case "rejected":
            endings.rejected(item, Rejected(1, "no", False, b"{}", 0.1))
        case "progress":
            endings.progress(item, Progress(1, "HALF", b"{}"))
        case "crashed":
            endings.interrupted(item, -9, alone=True)
    assert (written.settled, written.stored, written.published) == ([], [], [])


def test_a_retry_is_a_new_publication_at_its_time(endings, written):
    item, following = work(), encode_call(Call(task="t", id="one"), queue="q", ready_at=77.0)
    endings.retried(item, Retried(1, following, b"{}", 0.1))
    end = only(written.settled)
    assert isinstance(end, Again)
    assert (end.message, end.at, end.record.state, end.record.final) == (
        following,
        77.0,
        "RETRY",
        False,
    )


def test_the_retry_of_what_was_acknowledged_early_is_published(endings, written):
    following = encode_call(Call(task="t", id="one"), queue="q")
    endings.retried(work(settled=True), Retried(1, following, b"{}", 0.1))
    assert written.settled == []
    assert only(written.published)[0] == following


def test_a_refused_message_goes_aside_or_to_the_tail(endings, written):
    item = work()
    endings.rejected(item, Rejected(1, "not mine", False, b"{}", 0.1))
    endings.rejected(item, Rejected(1, "later", True, None, 0.1))
    aside, back = written.settled
    assert isinstance(aside, Dead)
    assert (aside.reason, aside.record.state) == ("not mine", "FAILURE")
    assert isinstance(back, Again)
    assert back.message.key != item.lease.message.key
    assert back.message.body == item.lease.message.body


def test_a_crash_alone_counts_and_goes_to_the_head(endings, written):
    item = work()
    endings.interrupted(item, -9, alone=True)
    end = only(written.settled)
    assert isinstance(end, Again)
    assert end.message.key == item.lease.message.key
    assert Past.of(end.message) == Past(key=end.message.key, crashes=1)
    assert end.record is None


def test_at_the_limit_it_is_a_dead_letter(endings, written):
    endings.interrupted(work(crashes=2), -11, alone=True)
    end = only(written.settled)
    assert isinstance(end, Dead)
    assert "3 times" in end.reason
    assert "SIGSEGV" in end.reason
    assert failure(end.record) == ("FAILURE", "WorkerLostError")


def test_a_crash_among_several_counts_for_nobody(endings, written):
    endings.interrupted(work(crashes=2), -9, alone=False)
    end = only(written.settled)
    assert isinstance(end, Again)
    assert Past.of(end.message) == Past(key=end.message.key, crashes=2, alone=True)


def test_a_crash_after_an_early_acknowledgement_is_the_end(endings, written):
    endings.interrupted(work(settled=True), -9, alone=True)
    assert written.settled == []
    assert failure(only(written.stored)) == ("FAILURE", "WorkerLostError")


def test_a_task_may_ask_not_to_run_again_after_a_crash(endings, written):
    item = work()
    item.policy = TaskPolicy(reject_on_worker_lost=False)
    endings.interrupted(item, -9, alone=True)
    end = only(written.settled)
    assert isinstance(end, Done)
    assert failure(end.record) == ("FAILURE", "WorkerLostError")


@pytest.mark.parametrize(
    ("verdict", "state", "error"),
    [
        (Verdict.TIME_LIMIT, "FAILURE", "TimeLimitExceeded"),
        (Verdict.TERMINATED, "REVOKED", "TaskRevokedError"),
    ],
)
def test_our_own_kill_is_no_crash(endings, written, verdict, state, error):
    endings.interrupted(work(verdict=verdict, time_limit=3.0), -9, alone=True)
    end = only(written.settled)
    assert isinstance(end, Done)
    assert failure(end.record) == (state, error)


def test_what_a_stop_cuts_off_goes_back_as_it_was(endings, written):
    item = work(verdict=Verdict.CUT_OFF)
    endings.interrupted(item, -9, alone=True)
    assert only(written.settled) == Again(item.lease, item.lease.message, 0.0, None)


def test_a_zygotes_death_is_counted_apart(endings, written):
    endings.orphaned([work(deaths=1)])
    end = only(written.settled)
    assert Past.of(end.message) == Past(key=end.message.key, deaths=2)


def test_a_replayed_message_has_no_past():
    message = work(crashes=2, deaths=9, alone=True).lease.message
    again = msgspec.structs.replace(message, key="another")
    assert Past.of(again) == Past(key="another")


@pytest.mark.parametrize("said", ["x", 3, {"key": 1}, {"key": "k", "crashes": "many"}, None])
def test_a_past_that_is_not_ours_says_nothing(said):
    message = encode_call(Call(task="t", id="one"), queue="q", key="k")
    message = msgspec.structs.replace(message, headers={**message.headers, HEADER: said})
    assert Past.of(message) == Past(key="k")
