"""Every result recorded from Celery: read, written again, and the same as before."""

import json

import pytest

from penstock.errors import DecodeError
from penstock.wire.codec import dumps, loads
from penstock.wire.result import READY_STATES, decode_result, encode_result
from wire_samples import names, raw

NOTHING_STORED = {"result-ignored", "result-ignore-result"}
GROUPS = {"result-groupmeta"}
RESULTS = {
    name: raw(name)
    for name in names("result-")
    if name not in NOTHING_STORED and name not in GROUPS
}


def _in_memcached():
    for line in raw("memcached").split("\n"):
        key, _, value = line.partition(" ")
        if key.startswith("celery-task-meta-"):
            yield f"memcached-{key[-4:]}", value


def _of_rpc():
    for line in raw("rpc-worker").split("\n"):
        found = json.loads(line) if line.startswith("{") else {}
        if found.get("method") == "basic_publish":
            body = found["kwargs"]["body"]
            yield f"rpc-{found['kwargs']['properties']['correlation_id'][:4]}", body


RESULTS |= dict(_in_memcached()) | dict(_of_rpc())


def test_there_are_as_many_results_as_were_recorded():
    assert len(RESULTS) >= 23 + 2 + 2


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_comes_back_member_for_member_in_celerys_order(name):
    again = encode_result(decode_result(RESULTS[name]))
    assert again.decode() == RESULTS[name]


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_says_when_it_was_done_only_when_it_is_ready(name):
    document = decode_result(RESULTS[name])
    assert (document.date_done is not None) == (document.status in READY_STATES)


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_a_saved_group_is_plain_json_and_no_result(name):
    assert dumps(loads(raw(name))).decode() == raw(name)
    with pytest.raises(DecodeError, match="task_id"):
        decode_result(raw(name))


def test_the_extended_form_is_read():
    document = decode_result(raw("result-extended"))
    assert (document.name, document.args, document.kwargs) == ("tasks.add", [1], {"y": 2})
    assert (document.worker, document.retries, document.queue) == ("w1@host", 0, "celery")


def test_values_of_results_become_their_types():
    value = decode_result(raw("result-types")).result
    assert value["binary"] == b"\xff\x00"
    assert value["datetime"].isoformat() == "2024-01-02T03:04:05.678901+00:00"
    assert value["inf"] == float("inf")
