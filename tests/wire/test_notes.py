"""Notes that cannot be read, and whom requests are for."""

import pytest

from penstock.errors import DecodeError
from penstock.wire.control import Address, Request, read_answer, read_request, request_note
from penstock.wire.events import event_notes, read_events
from penstock.wire.note import Note, pack_note, unpack_note


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b'{"body": 1}', b'{"body": "x", "headers": []}',
        b'{"body": "abc", "properties": {"body_encoding": "base64"}}',
        b'{"body": "", "content-type": "application/x-python-serialize"}',
        b'{"body": "", "properties": {"delivery_info": 1}}', b"[" * 1000, b"\xff",
    ],
)  # fmt: skip
def test_what_is_no_note_is_refused(data):
    with pytest.raises(DecodeError):
        unpack_note(data)


def test_a_body_may_be_the_text_itself():
    assert unpack_note(b'{"body": "{}"}').body == b"{}"


def note(body):
    return Note(exchange="celery.pidbox", body=body)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b'{"method": 1}', b'{"method": "ping", "arguments": []}',
        b'{"method": "ping", "destination": "me"}', b'{"method": "ping", "reply_to": {"a": 1}}',
        b'{"method": "ping", "arguments": {"\\ud800": 1}, "pattern": 5}',
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(body):
    with pytest.raises(DecodeError):
        read_request(note(body))


def test_what_is_no_answer_or_event_is_refused():
    with pytest.raises(DecodeError):
        read_answer(note(b"[1]"), ticket="t")
    with pytest.raises(DecodeError):
        read_events(note(b"5"))
    assert read_events(note(b'[{"type": "task-sent"}, 5, {}]')) == [{"type": "task-sent"}]


def test_a_request_comes_back_through_its_note():
    request = Request(
        method="revoke",
        arguments={"task_id": ["a"], "terminate": True},
        destination=("a@b", "c@d"),
        ticket="t",
        reply_to=Address("reply.celery.pidbox", "box"),
        clock=7,
    )
    assert read_request(unpack_note(pack_note(request_note(request)))) == request


@pytest.mark.parametrize(
    ("fields", "mine"),
    [
        ({}, True),
        ({"destination": ("w@h",)}, True),
        ({"destination": ("x@h",)}, False),
        ({"destination": ("x@h",), "pattern": "*", "matcher": "glob"}, False),
        ({"destination": ()}, True),
        ({"pattern": "w@*", "matcher": "glob"}, True),
        ({"pattern": "x@*", "matcher": "glob"}, False),
        ({"pattern": "[vw]@", "matcher": "pcre"}, True),
        ({"pattern": "@h", "matcher": "pcre"}, False),
        ({"pattern": "x*"}, True),
    ],
)
def test_whom_a_request_is_for(fields, mine):
    assert Request(method="ping", **fields).is_for("w@h") is mine


@pytest.mark.parametrize(
    ("pattern", "matcher"), [("(", "pcre"), ("x", "sql"), ("x" * 1000, "pcre")]
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern, matcher):
    with pytest.raises(DecodeError):
        Request(method="ping", pattern=pattern, matcher=matcher).is_for("w@h")


def test_events_of_tasks_go_in_lists_in_their_order():
    told = [{"type": f"task-{n}"} for n in range(150)]
    told.insert(120, {"type": "worker-online"})
    notes = event_notes(told, hostname="w@h")
    keys = [note.routing_key for note in notes]
    assert keys == ["task.multi", "task.multi", "worker.online", "task.multi"]
    assert [event for note in notes for event in read_events(note)] == told
