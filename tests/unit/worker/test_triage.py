"""What becomes of a claimed message before anything runs."""

import msgspec
import pytest

from penstock.clock import ManualClock
from penstock.message import Dead, Done, Lease
from penstock.wire.result import decode_result
from penstock.wire.task import Call, encode_call
from penstock.worker.past import Past
from penstock.worker.protocol import TaskPolicy
from penstock.worker.triage import MAX_DEATHS, Triage

CLOCK = ManualClock()
TRIAGE = Triage(tasks={"t": TaskPolicy()}, clock=CLOCK, result_ttl=60.0)


def lease(*, task="t", deaths=0, revoked=False, expires=None, headers=None, **changes):
    message = encode_call(Call(task=task, id="one", args=(1,), expires=expires), queue="q")
    if headers is not None:
        message = msgspec.structs.replace(message, headers={**message.headers, **headers})
    message = msgspec.structs.replace(message, **changes)
    return Lease(message, attempt=4, until=0.0, fence=4, deaths=deaths, revoked=revoked)


def stored(settlement):
    record = settlement.record
    assert record.final
    assert (record.attempt, record.key, record.ttl) == (4, settlement.lease.message.key, 60.0)
    document = decode_result(record.document)
    assert document.status == record.state
    assert document.date_done == CLOCK.wall()
    return document.status, document.result["exc_type"], document.result["exc_message"][0]


def test_a_known_task_is_to_be_run():
    header, policy = TRIAGE.sort(lease())
    assert (header.task, header.id, policy) == ("t", "one", TaskPolicy())


def test_an_unknown_task_is_a_dead_letter_and_its_client_is_told():
    end = TRIAGE.sort(lease(task="nowhere"))
    assert isinstance(end, Dead)
    assert "nowhere" in end.reason
    assert stored(end) == ("FAILURE", "NotRegistered", "nowhere")


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"revoked": True}, "revoked"), ({"expires": CLOCK.wall() - 1}, "expired")],
)
def test_revoked_and_expired_are_settled_with_their_reason(changes, why):
    end = TRIAGE.sort(lease(**changes))
    assert isinstance(end, Done)
    assert stored(end) == ("REVOKED", "TaskRevokedError", why)


def test_what_outlived_too_many_workers_is_a_dead_letter():
    assert isinstance(TRIAGE.sort(lease(deaths=MAX_DEATHS - 1)), tuple)
    before = lease(deaths=MAX_DEATHS - 2)
    message = Past(key=before.message.key, deaths=2).on(before.message)
    end = TRIAGE.sort(msgspec.structs.replace(before, message=message))
    assert isinstance(end, Dead)
    assert stored(end)[1] == "WorkerLostError"


def test_a_bad_message_with_an_id_tells_its_client_and_one_without_is_kept_aside_too():
    end = TRIAGE.sort(lease(headers={"retries": "many"}))
    assert isinstance(end, Dead)
    assert end.reason.startswith("unreadable: ")
    assert stored(end)[0] == "FAILURE"
    end = TRIAGE.sort(lease(headers={"id": 7}))
    assert isinstance(end, Dead)
